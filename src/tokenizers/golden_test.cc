// Ids against transformers' (tests/golden/tokenizers, made by tools/golden/tokenizer_ids.py).
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "base/json.h"
#include "base/test_support.h"
#include "tokenizers/byte_pair.h"
#include "tokenizers/sentencepiece_model.h"
#include "tokenizers/test_support.h"
#include "tokenizers/tokenizer.h"
#include "tokenizers/unicode.h"

namespace fluxq {
namespace {

const std::filesystem::path kBundled = FLUXQ_SOURCE_DIR "/models/emoji-flux";

const Json& texts() {
  static const Json json = read_golden_json("texts.json");
  return json;
}

const Json& golden_ids() {
  static const Json json = read_golden_json("ids.json");
  return json;
}

std::string hash_ids(std::span<const int32_t> ids) {
  return fmt::format("{:016x}", fnv1a(std::as_bytes(ids)));
}

// All texts, in full length and padded or cut.
void expect_golden(const Tokenizer& tokenizer, const std::string& name) {
  const Json& golden = golden_ids().at(name);
  EXPECT_EQ(tokenizer.vocab_size(), golden.at("vocab_size"));
  EXPECT_EQ(tokenizer.model_max_length(), golden.at("model_max_length"));
  const std::string hashes = golden.at("hashes");
  const size_t hash_size = hashes.size() / texts().size();
  ASSERT_GE(texts().size(), 2000u);
  ASSERT_EQ(golden.at("counts").size(), texts().size());
  size_t wrong = 0;
  for (size_t i = 0; i < texts().size() && wrong < 5; ++i) {
    const std::string text = texts()[i];
    const int count = golden.at("counts")[i];
    const TokenIds result = tokenizer.encode(text, count);
    const bool right =
        result.total == count && result.used == count && result.cut_text.empty() &&
        hash_ids(result.ids).substr(0, hash_size) == hashes.substr(i * hash_size, hash_size);
    if (!right) {
      ++wrong;
      ADD_FAILURE() << "text " << i << ": " << texts()[i].dump().substr(0, 200) << "\n got "
                    << testing::PrintToString(result.ids).substr(0, 300);
    }
    if (i < golden.at("full").size()) {
      EXPECT_EQ(result.ids, golden.at("full")[i].get<std::vector<int32_t>>()) << text;
    }
  }
  for (const Json& entry : golden.at("padded")) {
    const size_t text = entry[0];
    const int length = entry[1];
    const TokenIds result = tokenizer.encode(texts()[text].get<std::string>(), length);
    const int count = golden.at("counts")[text];
    EXPECT_EQ(hash_ids(result.ids), entry[2]) << "text " << text << " in " << length;
    EXPECT_EQ(result.ids.size(), static_cast<size_t>(length));
    EXPECT_EQ(result.total, count);
    EXPECT_EQ(result.used, std::min(count, length));
  }
}

// The real CLIP vocabulary from its merges, in the files that transformers reads.
void write_clip_folder(const TempFolder& folder) {
  const std::string merges = read_text_file(golden_path("clip/merges.u16"), 1 << 20);
  std::vector<std::string> tokens;
  std::vector<uint8_t> bytes;  // in the vocabulary's order: first those that stand for themselves
  for (const bool itself : {true, false})
    for (int b = 0; b < 256; ++b)
      if ((character_of_byte(static_cast<uint8_t>(b)) == static_cast<char32_t>(b)) == itself)
        bytes.push_back(static_cast<uint8_t>(b));
  for (const std::string_view suffix : {"", "</w>"})
    for (const uint8_t byte : bytes) {
      append_utf8(tokens.emplace_back(), character_of_byte(byte));
      tokens.back() += suffix;
    }
  std::string lines = "#version: 0.2\n";
  for (size_t i = 0; i < merges.size(); i += 4) {
    const auto id = [&](size_t at) {
      return static_cast<size_t>(static_cast<unsigned char>(merges[at])) |
             static_cast<size_t>(static_cast<unsigned char>(merges[at + 1])) << 8;
    };
    const std::string left = tokens.at(id(i)), right = tokens.at(id(i + 2));
    tokens.push_back(left + right);
    lines += left + " " + right + "\n";
  }
  tokens.insert(tokens.end(), {"<|startoftext|>", "<|endoftext|>"});
  Json vocabulary = Json::object();
  for (size_t id = 0; id < tokens.size(); ++id) vocabulary[tokens[id]] = id;
  write(folder / "merges.txt", lines);
  write(folder / "vocab.json", vocabulary.dump());
  std::filesystem::copy(golden_path("clip/tokenizer_config.json"), folder.path());
}

TEST(Golden, BundledClip) { expect_golden(*load_clip_bpe(kBundled / "tokenizer"), "emoji_clip"); }

TEST(Golden, BundledT5) { expect_golden(*load_t5_unigram(kBundled / "tokenizer_2"), "emoji_t5"); }

TEST(Golden, RealClipVocabulary) {
  TempFolder folder;
  write_clip_folder(folder);
  expect_golden(*load_clip_bpe(folder.path()), "clip");
}

TEST(Golden, T5WithExtraIds) { expect_golden(*load_t5_unigram(golden_path("t5")), "t5"); }

TEST(Golden, T5WithBytePiecesAndNoCharacterMap) {
  expect_golden(*load_t5_unigram(golden_path("t5_bytes")), "t5_bytes");
}

// As transformers 5 saves a tokenizer: tokenizer.json and tokenizer_config.json, nothing else.
TEST(Golden, BundledClipFromTokenizerJsonAlone) {
  TempFolder folder;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
    std::filesystem::copy(kBundled / "tokenizer" / name, folder.path());
  expect_golden(*load_clip_bpe(folder.path()), "emoji_clip");
}

std::string encode_base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j)
      out += i + j <= bytes.size() ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

TEST(Golden, BundledT5FromTokenizerJsonAlone) {
  const std::string model_path = (kBundled / "tokenizer_2/spiece.model").string();
  const SentencePieceModel model =
      parse_sentencepiece_model(read_text_file(model_path, 1 << 20), model_path);
  Json vocab = Json::array();
  for (const SentencePiece& piece : model.pieces)
    vocab.push_back(Json::array({piece.text, piece.score}));
  const Json normalizer = {{"type", "Precompiled"},
                           {"precompiled_charsmap", encode_base64(model.charsmap)}};
  for (const Json& wrapped :
       {normalizer, Json{{"type", "Sequence"}, {"normalizers", Json::array({normalizer})}}}) {
    TempFolder folder;
    write(folder / "tokenizer.json",
          Json{{"model", {{"type", "Unigram"}, {"unk_id", 2}, {"vocab", vocab}}},
               {"normalizer", wrapped}}
              .dump());
    std::filesystem::copy(kBundled / "tokenizer_2/tokenizer_config.json", folder.path());
    expect_golden(*load_t5_unigram(folder.path()), "emoji_t5");
  }
}

TEST(Tokenizer, SaysWhatWasCut) {
  const auto clip = load_clip_bpe(kBundled / "tokenizer");
  const TokenIds cut = clip->encode("A red apple on a BLUE background, it's fine", 6);
  EXPECT_EQ(cut.used, 6);
  EXPECT_GT(cut.total, 6);
  EXPECT_EQ(cut.ids.front(), 2274);
  EXPECT_EQ(cut.ids.back(), 2275);
  EXPECT_TRUE(cut.cut_text.ends_with("blue background , it 's fine")) << cut.cut_text;

  const auto t5 = load_t5_unigram(kBundled / "tokenizer_2");
  const TokenIds end = t5->encode("red apple on a blue background", 4);
  EXPECT_EQ(end.used, 4);
  EXPECT_EQ(end.cut_text, "a blue background");
  EXPECT_EQ(t5->encode("red apple on a blue background", 64).cut_text, "");

  std::string many;
  for (int i = 0; i < 1000; ++i) many += "apple ";
  EXPECT_TRUE(t5->encode(many, 4).cut_text.ends_with("apple…"));
  EXPECT_LT(t5->encode(many, 4).cut_text.size(), 64 * 7u);
}

TEST(Tokenizer, RefusesWhatItCannotEncode) {
  const auto clip = load_clip_bpe(kBundled / "tokenizer");
  EXPECT_FLUXQ_ERROR(clip->encode("red \xff apple", 77), bad_argument,
                     "prompt: expected UTF-8, got byte 0xFF at byte offset 4");
  EXPECT_FLUXQ_ERROR(clip->encode("surrogate \xed\xa0\x80", 77), bad_argument, "offset 10");
  EXPECT_FLUXQ_ERROR(clip->encode("overlong \xc0\x80", 77), bad_argument, "offset 9");
  EXPECT_FLUXQ_ERROR(clip->encode("cut \xf0\x9f\x8d", 77), bad_argument, "offset 4");
  EXPECT_FLUXQ_ERROR(clip->encode("a", 1), bad_argument, "expected 2 to 1048576, got 1");
  EXPECT_FLUXQ_ERROR(clip->encode("a", -1), bad_argument, "got -1");
  EXPECT_FLUXQ_ERROR(clip->encode("a", 1 << 30), bad_argument, "number of text tokens");
  EXPECT_EQ(clip->encode("a", 2).ids, (std::vector<int32_t>{2274, 2275}));
  const auto t5 = load_t5_unigram(kBundled / "tokenizer_2");
  EXPECT_FLUXQ_ERROR(t5->encode("a", 0), bad_argument, "expected 1 to 1048576, got 0");
  EXPECT_EQ(t5->encode("a", 1).ids, (std::vector<int32_t>{1}));
}

// Each would take minutes if anything were quadratic in it.
TEST(Tokenizer, LargeAndHostileTextsTakeLinearTime) {
  const auto clip = load_clip_bpe(kBundled / "tokenizer");
  const auto t5 = load_t5_unigram(kBundled / "tokenizer_2");
  std::string marks = "a";
  std::string specials, nulls(200000, '\0');
  for (int i = 0; i < 500000; ++i) marks += i % 2 ? "\u0316" : "\u0301";  // classes 220 and 230
  for (int i = 0; i < 50000; ++i) specials += "</s> <|endoftext|>";
  for (const std::string& text : {std::string(1 << 20, 'a'), std::string(1 << 20, ' '),
                                  std::string(300000, '<'), marks, specials, nulls}) {
    EXPECT_GT(clip->encode(text, 77).total, 1);
    EXPECT_GT(t5->encode(text, 64).total, 0);
  }
}

}  // namespace
}  // namespace fluxq
