// CLIP folders that are wrong, and byte-pair merging by itself. (Right ids: golden_test.cc.)
#include <gtest/gtest.h>

#include <limits>

#include "base/test_support.h"
#include "tokenizers/byte_pair.h"
#include "tokenizers/test_support.h"
#include "tokenizers/tokenizer.h"

namespace fluxq {
namespace {

class ClipFolder : public testing::Test {
 protected:
  const std::string vocab_ = R"({"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab": 4, "ab</w>": 5,
      "<|startoftext|>": 8, "<|endoftext|>": 9})";

  std::unique_ptr<Tokenizer> load(const std::string& vocab, const std::string& merges,
                                  const std::string& config = "") {
    write(folder_ / "vocab.json", vocab);
    write(folder_ / "merges.txt", merges);
    if (!config.empty()) write(folder_ / "tokenizer_config.json", config);
    return load_clip_bpe(folder_.path());
  }
  std::unique_ptr<Tokenizer> load_merges(const std::string& merges) { return load(vocab_, merges); }
  std::unique_ptr<Tokenizer> load_config(const std::string& config) {
    return load(vocab_, "a b</w>\n", config);
  }

  TempFolder folder_;
};

TEST_F(ClipFolder, SmallVocabulary) {
  // A missing or other header, CRLF and a missing last line end are all right, as in the library.
  for (const char* merges :
       {"#version: 0.2\na b</w>\na b\n", "a b</w>\r\na b", "#version\na b</w>"}) {
    const auto tokenizer = load_merges(merges);
    EXPECT_EQ(tokenizer->vocab_size(), 10);
    EXPECT_EQ(tokenizer->encode("AB a", 6).ids, (std::vector<int32_t>{8, 5, 2, 9, 9, 9}));
  }
}

TEST_F(ClipFolder, MissingFiles) {
  EXPECT_FLUXQ_ERROR(load_clip_bpe(folder_ / "nowhere"), not_found, "nowhere/vocab.json");
  EXPECT_FLUXQ_ERROR(load_clip_bpe(folder_.path()), not_found, "vocab.json");
  write(folder_ / "vocab.json", vocab_);
  EXPECT_FLUXQ_ERROR(load_clip_bpe(folder_.path()), not_found, "merges.txt");
}

TEST_F(ClipFolder, RefusesWrongVocabularies) {
  for (const char* json : {"", "[]", "3", "{\"a\": 0", "{\"a\": 0}}", "\xEF\xBB\xBF{}"})
    EXPECT_FLUXQ_ERROR(load(json, ""), corrupt_file, "vocab.json: ");
  EXPECT_FLUXQ_ERROR(load(R"({"a": 0, "a": 1})", ""), corrupt_file, "duplicate name \"a\"");
  EXPECT_FLUXQ_ERROR(load(R"({"a": 0, "b": 0})", ""), corrupt_file, "different ids, got 0 twice");
  for (const char* id :
       {"-1", "16777216", "1e3", "0.5", "\"7\"", "null", "[0]", "18446744073709551616"})
    EXPECT_FLUXQ_ERROR(load(fmt::format(R"({{"a": {}}})", id), ""), corrupt_file,
                       "token \"a\": expected an id in 0 to 16777215, got ");
  // Memory stays bounded: far more values than any vocabulary has.
  std::string many = "[0";
  for (int i = 0; i < 2 << 20; ++i) many += ",0";
  many += "]";
  EXPECT_FLUXQ_ERROR(load(many, ""), corrupt_file, "expected at most 2097152 values");
}

TEST_F(ClipFolder, RefusesWrongMerges) {
  EXPECT_FLUXQ_ERROR(load_merges("a b</w>\na\n"), corrupt_file,
                     "merges.txt: line 2: expected two tokens with one space between, got \"a\"");
  EXPECT_FLUXQ_ERROR(load_merges("version 0.2 of merges\na b\n"), corrupt_file, "line 1");
  EXPECT_FLUXQ_ERROR(load_merges("a b c\n"), corrupt_file, "with one space");
  EXPECT_FLUXQ_ERROR(load_merges("\n"), corrupt_file, "got \"\"");
  EXPECT_FLUXQ_ERROR(load_merges("a b</w>\n\n"), corrupt_file, "line 2");
  EXPECT_FLUXQ_ERROR(load_merges("a  b\n"), corrupt_file, "with one space");
  EXPECT_FLUXQ_ERROR(load_merges(" b\n"), corrupt_file, "tokens that are in the vocabulary");
  EXPECT_FLUXQ_ERROR(load_merges("a \n"), corrupt_file, "tokens that are in the vocabulary");
  EXPECT_FLUXQ_ERROR(load_merges("a x\n"), corrupt_file,
                     "in the vocabulary, merged too, got \"x\"");
  EXPECT_FLUXQ_ERROR(load_merges("a a\n"), corrupt_file, "got \"aa\"");
  EXPECT_FLUXQ_ERROR(load_merges("a b\na b\n"), corrupt_file, "line 2: expected each pair once");
}

TEST_F(ClipFolder, RefusesWrongTokenizerJson) {
  const auto load_json = [&](const std::string& json) {
    write(folder_ / "tokenizer.json", json);
    return load_clip_bpe(folder_.path());
  };
  const std::string head = R"({"model": {"vocab": )" + vocab_ + R"(, "merges": )";
  EXPECT_EQ(load_json(head + R"([["a", "b</w>"], "a b"]}})")->encode("ab", 3).ids,
            (std::vector<int32_t>{8, 5, 9}));
  for (const char* merges :
       {"{}", "3", "[3]", "[[\"a\"]]", "[[\"a\", 3]]", "[\"a\"]", "[[\"a\", \"\"]]"})
    EXPECT_FLUXQ_ERROR(load_json(head + merges + "}}"), corrupt_file,
                       "tokenizer.json: model.merges");
  EXPECT_FLUXQ_ERROR(load_json("{}"), corrupt_file, "expected members vocab and merges");
  EXPECT_FLUXQ_ERROR(load_json(R"({"model": []})"), corrupt_file, "expected an object");
  EXPECT_FLUXQ_ERROR(load_json(R"({"model": {"vocab": [], "merges": []}})"), corrupt_file,
                     "expected an object of tokens");
  EXPECT_FLUXQ_ERROR(load_json(R"({"added_tokens": {}})"), corrupt_file, "added_tokens");
  EXPECT_FLUXQ_ERROR(load_json(R"({"added_tokens": [{"content": "a"}]})"), corrupt_file, "id");
}

TEST_F(ClipFolder, SpecialTokensOverlapAndStripSpaces) {
  const auto tokenizer = load_config(R"({"model_max_length": 1e30, "added_tokens_decoder": {
      "8": {"content": "<|startoftext|>", "special": true, "normalized": true},
      "9": {"content": "<|endoftext|>", "special": true}},
      "additional_special_tokens": ["<a", {"content": "<a>", "lstrip": true, "rstrip": true}]})");
  EXPECT_EQ(tokenizer->model_max_length(), std::numeric_limits<int>::max());
  const auto ids = [&](std::string_view text) {
    std::vector<int32_t> all = tokenizer->encode(text, 20).ids;
    all.resize(static_cast<size_t>(tokenizer->encode(text, 20).used) - 1);
    return std::vector<int32_t>(all.begin() + 1, all.end());
  };
  EXPECT_EQ(ids("b  <a>  b <ab"), (std::vector<int32_t>{3, 11, 3, 10, 3}));
  EXPECT_EQ(ids("<a><a>\u3000<a>"), (std::vector<int32_t>{11, 11, 11}));
  EXPECT_EQ(ids(" <|STARTofText|>"), (std::vector<int32_t>{8}));
  EXPECT_EQ(ids("<|ENDoftext|>"), std::vector<int32_t>(13, 9));  // 13 unknown bytes
}

TEST_F(ClipFolder, RefusesWrongConfigurations) {
  for (const char* config :
       {"[]", "{", "{\"bos_token\": 3}", "{\"bos_token\": {}}", "{\"bos_token\": \"\"}",
        "{\"model_max_length\": -1}", "{\"model_max_length\": \"77\"}",
        "{\"model_max_length\": 1e999}", "{\"added_tokens_decoder\": []}",
        "{\"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}",
        "{\"added_tokens_decoder\": {\"-1\": {\"content\": \"a\"}}}",
        "{\"added_tokens_decoder\": {\"99999999999\": {\"content\": \"a\"}}}",
        "{\"added_tokens_decoder\": {\"0\": \"a\"}}",
        "{\"added_tokens_decoder\": {\"0\": {\"content\": \"b\"}}}",
        "{\"additional_special_tokens\": 3}", "{\"additional_special_tokens\": [3]}",
        "{\"padding_side\": 3}"})
    EXPECT_FLUXQ_ERROR(load_config(config), corrupt_file, folder_.path().string());
  for (const char* config :
       {"{\"padding_side\": \"left\"}", "{\"truncation_side\": \"left\"}",
        "{\"split_special_tokens\": true}",
        "{\"added_tokens_decoder\": {\"0\": {\"content\": \"a\", \"single_word\": true}}}"})
    EXPECT_FLUXQ_ERROR(load_config(config), unsupported, folder_.path().string());
}

TEST(BytePair, MergesByRankThenFromTheLeft) {
  BytePairMerges merges;
  EXPECT_TRUE(merges.add(0, 0, 1));  // aa
  EXPECT_TRUE(merges.add(1, 0, 2));  // aa a
  EXPECT_TRUE(merges.add(1, 1, 3));  // aa aa
  EXPECT_FALSE(merges.add(1, 1, 3));
  const auto merged = [&](std::vector<int32_t> symbols) {
    merges.apply(symbols);
    return symbols;
  };
  EXPECT_EQ(merged({}), (std::vector<int32_t>{}));
  EXPECT_EQ(merged({0}), (std::vector<int32_t>{0}));
  EXPECT_EQ(merged({0, 0, 0}), (std::vector<int32_t>{2}));
  EXPECT_EQ(merged({0, 0, 0, 0}), (std::vector<int32_t>{3}));
  EXPECT_EQ(merged({0, 0, 7, 0, 0, 0}), (std::vector<int32_t>{1, 7, 2}));
}

TEST(BytePair, EachByteHasItsCharacter) {
  for (int byte = 0; byte < 256; ++byte)
    EXPECT_EQ(byte_of_character(character_of_byte(static_cast<uint8_t>(byte))), byte);
  EXPECT_EQ(character_of_byte(' '), U'Ġ');
  EXPECT_EQ(character_of_byte('a'), U'a');
  EXPECT_EQ(byte_of_character(U' '), -1);
  EXPECT_EQ(byte_of_character(U'🍎'), -1);
}

}  // namespace
}  // namespace fluxq
