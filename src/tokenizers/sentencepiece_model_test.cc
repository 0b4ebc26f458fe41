#include "tokenizers/sentencepiece_model.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "base/test_support.h"
#include "tokenizers/test_support.h"
#include "tokenizers/tokenizer.h"

namespace fluxq {
namespace {

using std::string_literals::operator""s;

// A protobuf writer as small as the reader.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
  return out;
}
std::string field(uint32_t number, uint32_t wire_type, const std::string& payload) {
  return varint(number << 3 | wire_type) + payload;
}
std::string bytes_field(uint32_t number, const std::string& bytes) {
  return field(number, 2, varint(bytes.size()) + bytes);
}
std::string float_field(uint32_t number, float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return field(number, 5, std::string(reinterpret_cast<const char*>(&bits), sizeof bits));
}
std::string piece(const std::string& text, float score, uint64_t type = 1) {
  return bytes_field(1, bytes_field(1, text) + float_field(2, score) + field(3, 0, varint(type)));
}

const std::string kSpecials = piece("<pad>", 0, 3) + piece("</s>", 0, 3) + piece("<unk>", 0, 2);
const std::string kGood = kSpecials + piece("a", -1) + piece("<0x0a>", -2, 6) +
                          bytes_field(2, field(3, 0, varint(1)) + field(40, 0, varint(2)));

SentencePieceModel parse(const std::string& bytes) { return parse_sentencepiece_model(bytes, "m"); }

TEST(SentencePieceModel, ReadsPiecesAndMap) {
  const SentencePieceModel model = parse(kGood + bytes_field(3, bytes_field(2, "map")));
  ASSERT_EQ(model.pieces.size(), 5u);
  EXPECT_EQ(model.pieces[3].text, "a");
  EXPECT_EQ(model.pieces[3].score, -1.0);
  EXPECT_EQ(model.pieces[2].type, SentencePiece::Type::unknown);
  EXPECT_EQ(model.charsmap, "map");
  // Fields that are not needed, of all wire types, change nothing.
  const std::string more = field(900, 0, varint(~uint64_t{0})) +
                           field(901, 1, std::string(8, 'x')) + bytes_field(902, "y") +
                           field(903, 5, "1234");
  EXPECT_EQ(parse(kGood + more).pieces.size(), 5u);
}

TEST(SentencePieceModel, RefusesWhatIsNoProtobuf) {
  EXPECT_FLUXQ_ERROR(parse(kGood + "\x0a"), corrupt_file, "m: expected the rest of a varint");
  EXPECT_FLUXQ_ERROR(parse(kGood + "\x0a\x05" + "abcd"), corrupt_file, "expected at most 4 bytes");
  EXPECT_FLUXQ_ERROR(parse(kGood + "\x0a" + varint(~uint64_t{0})), corrupt_file, "at most 0 bytes");
  EXPECT_FLUXQ_ERROR(parse(kGood + "\x08" + std::string(10, '\xff') + "\x01"), corrupt_file,
                     "expected a varint of at most 64 bits");
  EXPECT_FLUXQ_ERROR(parse(kGood + "\x08" + std::string(9, '\x80') + "\x02"), corrupt_file,
                     "expected a varint of at most 64 bits");
  EXPECT_FLUXQ_ERROR(parse(kGood + "\x0b"), corrupt_file, "expected a wire type of 0, 1, 2 or 5");
  EXPECT_FLUXQ_ERROR(parse(kGood + "\x0e"), corrupt_file, "expected a wire type");
  EXPECT_FLUXQ_ERROR(parse(kGood + "\x02\x00"s), corrupt_file, "expected a field number");
  EXPECT_FLUXQ_ERROR(parse(kGood + varint(uint64_t{1} << 40)), corrupt_file, "a field number");
  EXPECT_FLUXQ_ERROR(parse(kGood + "\x15" + "abc"), corrupt_file, "expected at most 3 bytes");
  EXPECT_FLUXQ_ERROR(parse(kGood + field(1, 0, varint(3))), corrupt_file,
                     "m: field 1: expected wire type 2, got 0");
  EXPECT_FLUXQ_ERROR(parse(kGood + bytes_field(1, field(1, 0, varint(3)))), corrupt_file,
                     "field 1: expected wire type 2");
  EXPECT_FLUXQ_ERROR(parse(kGood + bytes_field(1, bytes_field(2, "abcd"))), corrupt_file,
                     "field 2: expected wire type 5");
  EXPECT_FLUXQ_ERROR(parse(kGood + bytes_field(2, bytes_field(3, ""))), corrupt_file,
                     "field 3: expected wire type 0");
  EXPECT_FLUXQ_ERROR(parse(kGood + bytes_field(3, field(2, 0, varint(1)))), corrupt_file,
                     "field 2: expected wire type 2");
}

TEST(SentencePieceModel, RefusesWrongPieces) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float score : {kNan, kInfinity, -kInfinity, 0.5f})
    EXPECT_FLUXQ_ERROR(parse(kGood + piece("x", score)), corrupt_file,
                       "m: piece 5: expected a log probability as score, got ");
  EXPECT_FLUXQ_ERROR(parse(kGood + piece("", -1)), corrupt_file, "expected 1 to 512 bytes, got 0");
  EXPECT_FLUXQ_ERROR(parse(kGood + piece(std::string(513, 'x'), -1)), corrupt_file, "got 513");
  EXPECT_FLUXQ_ERROR(parse(kGood + piece("\xff", -1)), corrupt_file, "expected UTF-8");
  EXPECT_FLUXQ_ERROR(parse(kGood + piece("a", -1)), corrupt_file, "each text once, got \"a\"");
  EXPECT_FLUXQ_ERROR(parse(kGood + piece("x", -1, 0)), corrupt_file, "a type of 1 to 6, got 0");
  EXPECT_FLUXQ_ERROR(parse(kGood + piece("x", -1, 7)), corrupt_file, "a type of 1 to 6, got 7");
  EXPECT_FLUXQ_ERROR(parse(kGood + piece("x", -1, 2)), corrupt_file, "one unknown piece, got 2");
  EXPECT_FLUXQ_ERROR(parse(piece("a", -1)), corrupt_file, "one unknown piece, got 0");
  EXPECT_FLUXQ_ERROR(parse(""), corrupt_file, "one unknown piece, got 0");
  for (const char* text :
       {"<0x-1>", "<0x+1>", "<0x1>", "<0x001>", "<0xG0>", "<0X41>", "41", "<0x 1>"})
    EXPECT_FLUXQ_ERROR(parse(kGood + piece(text, -1, 6)), corrupt_file, "expected a byte such as");
  EXPECT_FLUXQ_ERROR(parse(kGood + bytes_field(2, field(3, 0, varint(2)))), unsupported,
                     "m: expected a unigram model (type 1), got type 2");
}

// Nothing but Error comes out, whatever byte is changed and wherever the file ends.
TEST(SentencePieceModel, DamagedFilesGiveErrorsOnly) {
  const std::string good = kGood + bytes_field(3, bytes_field(2, "map"));
  for (size_t size = 0; size < good.size(); ++size) {
    for (int value = 0; value < 256; value += size % 7 == 0 ? 1 : 51) {
      std::string changed = good;
      changed[size] = static_cast<char>(value);
      for (const std::string& bytes : {changed, changed.substr(0, size + 1)}) {
        try {
          parse(bytes);
        } catch (const Error& error) {
          EXPECT_TRUE(error.code() == ErrorCode::corrupt_file ||
                      error.code() == ErrorCode::unsupported);
        }
      }
    }
  }
}

class T5Folder : public testing::Test {
 protected:
  std::unique_ptr<Tokenizer> load(const std::string& model, const std::string& config = "{}") {
    write(folder_ / "spiece.model", model);
    write(folder_ / "tokenizer_config.json", config);
    return load_t5_unigram(folder_.path());
  }
  TempFolder folder_;
};

TEST_F(T5Folder, SmallModel) {
  const auto tokenizer = load(kGood + piece("\u2581", -3), R"({"extra_ids": 2})");
  EXPECT_EQ(tokenizer->vocab_size(), 8);
  EXPECT_EQ(tokenizer->model_max_length(), std::numeric_limits<int>::max());
  EXPECT_EQ(tokenizer->encode("a <extra_id_1>x", 8).ids,
            (std::vector<int32_t>{5, 3, 6, 5, 2, 1, 0, 0}));
}

TEST_F(T5Folder, RefusesWrongOnes) {
  EXPECT_FLUXQ_ERROR(load_t5_unigram(folder_.path()), not_found, "spiece.model");
  EXPECT_FLUXQ_ERROR(load(piece("<unk>", 0, 2) + piece("a", -1) + piece("</s>", 0, 3)), unsupported,
                     "expected the unknown piece at id 2");
  EXPECT_FLUXQ_ERROR(load(kGood + bytes_field(3, bytes_field(2, "map"))), corrupt_file,
                     "spiece.model: character map: expected a table");
  EXPECT_FLUXQ_ERROR(load(kGood, R"({"extra_ids": -1})"), corrupt_file, "extra_ids: expected");
  EXPECT_FLUXQ_ERROR(load(kGood, R"({"extra_ids": 1000000000})"), corrupt_file, "extra_ids");
  EXPECT_FLUXQ_ERROR(load(kGood, R"({"added_tokens_decoder": {"7": {"content": "a"}}})"),
                     corrupt_file,
                     "special token \"a\": expected id 3 as in the vocabulary, got 7");
}

TEST_F(T5Folder, RefusesWrongTokenizerJson) {
  const auto load_json = [&](const std::string& json) {
    write(folder_ / "tokenizer.json", json);
    return load_t5_unigram(folder_.path());
  };
  const std::string vocab = R"(["<pad>", 0], ["</s>", 0], ["<unk>", 0], ["a", -1])";
  const std::string model = R"({"unk_id": 2, "vocab": [)" + vocab + "]}";
  EXPECT_EQ(load_json(R"({"model": )" + model + "}")->encode("a", 3).ids,
            (std::vector<int32_t>{2, 3, 1}));
  for (const char* json :
       {"{}", "[]", "", R"({"model": 3})", R"({"model": {"vocab": {}}})",
        R"({"model": {"unk_id": 0, "vocab": [["a"]]}})",
        R"({"model": {"unk_id": 0, "vocab": [["a", "b"]]}})",
        R"({"model": {"unk_id": 0, "vocab": [["a", 1]]}})",
        R"({"model": {"unk_id": 0, "vocab": [["", 0]]}})",
        R"({"model": {"unk_id": 4, "vocab": [["a", 0]]}})", R"({"model": {"vocab": [["a", 0]]}})"})
    EXPECT_FLUXQ_ERROR(load_json(json), corrupt_file, "tokenizer.json");
  const auto with_map = [&](const std::string& map) {
    return R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": )" + map +
           R"(}, "model": )" + model + "}";
  };
  EXPECT_FLUXQ_ERROR(load_json(with_map("3")), corrupt_file, "precompiled_charsmap");
  EXPECT_FLUXQ_ERROR(load_json(with_map(R"("a*==")")), corrupt_file, "expected base64");
  EXPECT_FLUXQ_ERROR(load_json(with_map(R"("abc")")), corrupt_file, "expected base64 in fours");
  EXPECT_FLUXQ_ERROR(load_json(with_map(R"("AAAA")")), corrupt_file, "expected a table");
}

}  // namespace
}  // namespace fluxq
