/// CLIP's tokenizer as transformers builds it (models/clip/tokenization_clip.py): special tokens
/// cut out, NFC, whitespace collapsed, lower case, words by a pattern, each word's bytes merged by
/// BPE with "</w>" on the last one. Every word is independent of its neighbours.
#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "tokenizers/byte_pair.h"
#include "tokenizers/special_tokens.h"
#include "tokenizers/tokenizer.h"
#include "tokenizers/unicode.h"

namespace fluxq {
namespace {

constexpr std::string_view kEndOfWord = "</w>";
constexpr int64_t kMaxId = (1 << 24) - 1;
constexpr uint64_t kMaxMergesBytes = 32 << 20;

using Vocabulary = std::unordered_map<std::string, int32_t>;

// NFC, runs of whitespace to one space, lower case.
std::u32string normalize(std::string_view text) {
  std::u32string out;
  for (const char32_t c : nfc(decode_utf8(text))) {
    if (!is_whitespace(c)) {
      append_lowercase(out, c);
    } else if (out.empty() || out.back() != U' ') {
      out.push_back(U' ');
    }
  }
  return out;
}

bool is_other(char32_t c) { return !is_whitespace(c) && !is_letter(c) && !is_number(c); }

// Length of the word that the normalized text begins with, 0 for whitespace. The pattern is
//   <|startoftext|> | <|endoftext|> | 's|'t|'re|'ve|'m|'ll|'d | \p{L}+ | \p{N} | [^\s\p{L}\p{N}]+
// of which the first two are cut again afterwards into "<|", "endoftext" and "|>".
size_t word_length(std::u32string_view text) {
  for (const std::u32string_view word : {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"})
    if (text.starts_with(word)) return word.size();
  if (is_number(text[0])) return 1;
  const bool letters = is_letter(text[0]);
  if (!letters && is_whitespace(text[0])) return 0;
  size_t end = 1;
  while (end < text.size() && (letters ? is_letter(text[end]) : is_other(text[end]))) ++end;
  return end;
}

// "<|startoftext|>" or "<|endoftext|>" at the beginning of the text: the length of its name, or 0.
size_t special_name_length(std::u32string_view text) {
  for (const std::u32string_view name : {U"startoftext", U"endoftext"})
    if (text.starts_with(U"<|") && text.substr(2).starts_with(name) &&
        text.substr(2 + name.size()).starts_with(U"|>"))
      return name.size();
  return 0;
}

template <typename OnWord>
void for_words(std::u32string_view text, OnWord&& on_word) {
  const auto take = [&](size_t length) {
    on_word(text.substr(0, length));
    text.remove_prefix(length);
  };
  while (!text.empty()) {
    if (const size_t name = special_name_length(text); name > 0) {
      take(2);
      take(name);
      take(2);
    } else if (const size_t length = word_length(text); length > 0) {
      take(length);
    } else {
      text.remove_prefix(1);
    }
  }
}

class ClipBpe : public Tokenizer {
 public:
  ClipBpe(Vocabulary vocabulary, BytePairMerges merges, const SpecialTokensConfig& config,
          const std::filesystem::path& folder)
      : vocabulary_(std::move(vocabulary)), merges_(std::move(merges)) {
    int32_t next_id = 0;
    for (const auto& [token, id] : vocabulary_) next_id = std::max(next_id, id + 1);
    const auto find = [this](const std::string& token) {
      const auto found = vocabulary_.find(token);
      return found == vocabulary_.end() ? -1 : found->second;
    };
    const std::vector<SpecialTokenWithId> tokens = assign_ids(config, find, next_id, folder);
    for (const auto& entry : tokens) {
      next_id = std::max(next_id, entry.id + 1);
      vocabulary_.emplace(entry.token.content, entry.id);
    }
    set_frame({.begin = {find_id(tokens, config.bos)},
               .end = find_id(tokens, config.eos),
               .pad = find_id(tokens, config.pad),
               .vocab_size = next_id,
               .model_max_length = config.model_max_length});
    const int32_t unknown = find_id(tokens, config.unk);
    for (int byte = 0; byte < 256; ++byte) {
      std::string character;
      append_utf8(character, character_of_byte(static_cast<uint8_t>(byte)));
      const int32_t inside = find(character);
      const int32_t last = find(character.append(kEndOfWord));
      inside_word_[byte] = inside < 0 ? unknown : inside;
      end_of_word_[byte] = last < 0 ? unknown : last;
    }
    splitter_ = SpecialTokenSplitter(
        tokens, [](std::string_view text) { return encode_utf8(normalize(text)); });
  }

 private:
  std::vector<int32_t> tokenize(std::string_view text) const override {
    std::vector<int32_t> ids;
    std::vector<int32_t> symbols;
    splitter_.split(
        text,
        [&](std::string_view normalized) {
          for_words(decode_utf8(normalized), [&](std::u32string_view word) {
            const std::string bytes = encode_utf8(word);
            symbols.clear();
            for (const char byte : bytes)
              symbols.push_back(inside_word_[static_cast<unsigned char>(byte)]);
            symbols.back() = end_of_word_[static_cast<unsigned char>(bytes.back())];
            merges_.apply(symbols);
            ids.insert(ids.end(), symbols.begin(), symbols.end());
          });
        },
        [&](int32_t id) { ids.push_back(id); });
    return ids;
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::unordered_map<int32_t, std::string_view> tokens;
    for (const int32_t id : ids) tokens[id];
    for (const auto& [token, id] : vocabulary_)
      if (const auto wanted = tokens.find(id); wanted != tokens.end()) wanted->second = token;
    std::string text;
    for (const int32_t id : ids) {
      std::string_view token = tokens[id];
      const bool ends_word = token.ends_with(kEndOfWord);
      if (ends_word) token.remove_suffix(kEndOfWord.size());
      for (const char32_t c : decode_utf8(token)) {
        const int byte = byte_of_character(c);
        if (byte >= 0) text.push_back(static_cast<char>(byte));
      }
      if (ends_word) text.push_back(' ');
    }
    if (text.ends_with(' ')) text.pop_back();
    return text;
  }

  Vocabulary vocabulary_;
  BytePairMerges merges_;
  SpecialTokenSplitter splitter_;
  std::array<int32_t, 256> inside_word_;  // token of a byte
  std::array<int32_t, 256> end_of_word_;  // token of a byte that ends a word
};

// Takes the strings out of the JSON: CLIP's vocabulary has 49,408.
Vocabulary take_vocabulary(Json& json, const std::string& where) {
  if (!json.is_object())
    fail(ErrorCode::corrupt_file, "{}: expected an object of tokens and their ids, got {}", where,
         describe(json));
  auto& object = json.get_ref<Json::object_t&>();
  Vocabulary vocabulary;
  vocabulary.reserve(object.size());
  std::vector<int32_t> ids;
  ids.reserve(object.size());
  while (!object.empty()) {
    auto entry = object.extract(object.begin());
    const Json& value = entry.mapped();
    if (!value.is_number_unsigned() || value.get<uint64_t>() > kMaxId)
      fail(ErrorCode::corrupt_file, "{}: token {}: expected an id in 0 to {}, got {}", where,
           in_quotes(entry.key()), kMaxId, describe(value));
    ids.push_back(value.get<int32_t>());
    vocabulary.emplace(std::move(entry.key()), ids.back());
  }
  std::sort(ids.begin(), ids.end());
  if (const auto twice = std::adjacent_find(ids.begin(), ids.end()); twice != ids.end())
    fail(ErrorCode::corrupt_file, "{}: expected different ids, got {} twice", where, *twice);
  return vocabulary;
}

// Takes merges in the order of their ranks.
class MergesReader {
 public:
  // Messages say "FILE: UNIT N", N from `first`.
  MergesReader(const Vocabulary& vocabulary, std::string place, size_t first)
      : vocabulary_(vocabulary), place_(std::move(place)), number_(first) {
    merges_.reserve(vocabulary.size());
  }

  void skip() { ++number_; }

  // "left right", one space between.
  void add(std::string_view merge) {
    const size_t space = merge.find(' ');
    if (space == merge.npos || merge.find(' ', space + 1) != merge.npos)
      corrupt("two tokens with one space between", merge);
    add(merge.substr(0, space), merge.substr(space + 1));
  }

  void add(std::string_view left, std::string_view right) {
    const int32_t left_id = find(left);
    const int32_t right_id = find(right);
    if (!merges_.add(left_id, right_id, find(std::string(left).append(right))))
      corrupt("each pair once", std::string(left) + " " + std::string(right));
    ++number_;
  }

  [[noreturn]] void corrupt(std::string_view expected, std::string_view got) const {
    fail(ErrorCode::corrupt_file, "{} {}: expected {}, got {}", place_, number_, expected,
         in_quotes(got));
  }

  BytePairMerges take() { return std::move(merges_); }

 private:
  int32_t find(std::string_view token) const {
    const auto found = vocabulary_.find(std::string(token));
    if (token.empty() || found == vocabulary_.end())
      corrupt("tokens that are in the vocabulary, merged too", token);
    return found->second;
  }

  const Vocabulary& vocabulary_;
  std::string place_;
  size_t number_;
  BytePairMerges merges_;
};

// merges.txt: an optional line "#version…", then one merge a line, best first.
BytePairMerges read_merges(const std::filesystem::path& path, const Vocabulary& vocabulary) {
  const std::string text = read_text_file(path, kMaxMergesBytes);
  MergesReader reader(vocabulary, path.string() + ": line", 1);
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("#version"))
      reader.skip();
    else
      reader.add(line);
  }
  return reader.take();
}

// tokenizer.json's model.merges: "left right" or ["left", "right"].
BytePairMerges parse_merges(const Json& list, const std::string& where,
                            const Vocabulary& vocabulary) {
  if (!list.is_array())
    fail(ErrorCode::corrupt_file, "{}: expected an array, got {}", where, describe(list));
  MergesReader reader(vocabulary, where, 0);
  for (const Json& merge : list) {
    if (merge.is_string())
      reader.add(merge.get_ref<const std::string&>());
    else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
      reader.add(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>());
    else
      reader.corrupt("two tokens", describe(merge));
  }
  return reader.take();
}

}  // namespace

std::unique_ptr<Tokenizer> load_clip_bpe(const std::filesystem::path& folder) {
  const SpecialTokensConfig config = read_special_tokens(folder, {.bos = "<|startoftext|>",
                                                                  .eos = "<|endoftext|>",
                                                                  .unk = "<|endoftext|>",
                                                                  .pad = "<|endoftext|>"});
  const auto read_json = [](const std::filesystem::path& path) {
    return parse_json(read_text_file(path, kTokenizerJson.bytes), path.string(), kTokenizerJson);
  };
  const std::filesystem::path single_file = folder / "tokenizer.json";
  std::error_code ignored;
  const bool has_both = std::filesystem::exists(folder / "vocab.json", ignored) &&
                        std::filesystem::exists(folder / "merges.txt", ignored);
  if (has_both || !std::filesystem::exists(single_file, ignored)) {
    const std::filesystem::path path = folder / "vocab.json";
    Json json = read_json(path);
    Vocabulary vocabulary = take_vocabulary(json, path.string());
    BytePairMerges merges = read_merges(folder / "merges.txt", vocabulary);
    return std::make_unique<ClipBpe>(std::move(vocabulary), std::move(merges), config, folder);
  }
  Json json = read_json(single_file);
  const std::string where = single_file.string() + ": model";
  const Json* model = find_member(json, "model", single_file.string());
  if (model == nullptr || find_member(*model, "vocab", where) == nullptr ||
      find_member(*model, "merges", where) == nullptr)
    fail(ErrorCode::corrupt_file, "{}: expected members vocab and merges", where);
  Vocabulary vocabulary = take_vocabulary(json["model"]["vocab"], where + ".vocab");
  BytePairMerges merges = parse_merges(json["model"]["merges"], where + ".merges", vocabulary);
  return std::make_unique<ClipBpe>(std::move(vocabulary), std::move(merges), config, folder);
}

}  // namespace fluxq
