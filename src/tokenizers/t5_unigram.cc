/// T5's tokenizer as transformers builds it (models/t5/tokenization_t5.py): special tokens cut out,
/// the model's character map, words between whitespace, "▁" put before each word and a cut before
/// each further "▁" in it, then the segmentation of each piece of text with the best sum of scores.
///
/// libsentencepiece gives other ids: it sums scores in float, so that equal segmentations ("aa" +
/// "a" or "a" + "aa" in a long run) fall to other sides; it applies the character map by longest
/// match; it leaves special tokens as text; it uses byte pieces for unknown characters. What is
/// here follows the `tokenizers` library: double sums, the first best one stays, neighbouring
/// unknown characters become one token.
#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "tokenizers/charsmap.h"
#include "tokenizers/piece_index.h"
#include "tokenizers/sentencepiece_model.h"
#include "tokenizers/special_tokens.h"
#include "tokenizers/tokenizer.h"
#include "tokenizers/unicode.h"

namespace fluxq {
namespace {

constexpr std::string_view kSpace = "▁";  // U+2581
constexpr int32_t kUnknownId = 2;         // fixed in transformers' T5Tokenizer
constexpr double kUnknownPenalty = 10;
constexpr uint64_t kMaxModelBytes = 64 << 20;

size_t character_bytes(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

class T5Unigram : public Tokenizer {
 public:
  T5Unigram(const SentencePieceModel& model, SpecialTokensConfig config, std::string_view where,
            const std::filesystem::path& folder)
      : charsmap_(model.charsmap.empty() ? Charsmap() : Charsmap(model.charsmap, where)) {
    double lowest = 0;
    std::vector<PieceIndex::Entry> entries;
    for (const SentencePiece& piece : model.pieces) {
      entries.emplace_back(piece.text, static_cast<int32_t>(scores_.size()));
      scores_.push_back(piece.score);
      lowest = std::min(lowest, piece.score);
      texts_.push_back(piece.text);
    }
    pieces_ = PieceIndex(std::move(entries));
    unknown_score_ = lowest - kUnknownPenalty;

    const std::vector<SpecialTokenWithId> tokens = assign_ids(
        config, [this](const std::string& token) { return pieces_.find(token); },
        static_cast<int32_t>(scores_.size()), folder);
    auto vocab_size = static_cast<int32_t>(scores_.size());
    for (const auto& entry : tokens) {
      vocab_size = std::max(vocab_size, entry.id + 1);
      if (static_cast<size_t>(entry.id) == texts_.size()) texts_.push_back(entry.token.content);
    }
    set_frame({.begin = {},
               .end = find_id(tokens, config.eos),
               .pad = find_id(tokens, config.pad),
               .vocab_size = vocab_size,
               .model_max_length = config.model_max_length});
    splitter_ = SpecialTokenSplitter(
        tokens, [this](std::string_view text) { return charsmap_.apply(text); });
  }

 private:
  std::vector<int32_t> tokenize(std::string_view text) const override {
    std::vector<int32_t> ids;
    splitter_.split(
        text, [&](std::string_view normalized) { append_words(normalized, ids); },
        [&](int32_t id) { ids.push_back(id); });
    return ids;
  }

  // Cuts normalized text at whitespace and before each "▁".
  void append_words(std::string_view text, std::vector<int32_t>& ids) const {
    std::string word;
    const auto finish = [&] {
      if (!word.empty()) append_best(word, ids);
      word.clear();
    };
    for (const char32_t c : decode_utf8(text)) {
      if (is_whitespace(c)) {
        finish();
        continue;
      }
      if (c == U'▁') finish();
      if (word.empty()) word = c == U'▁' ? "" : kSpace;
      append_utf8(word, c);
    }
    finish();
  }

  // The segmentation of a word with the highest sum of scores; a character that is no piece of its
  // own may also be unknown.
  void append_best(std::string_view word, std::vector<int32_t>& ids) const {
    struct Node {  // the best way to the text before a position
      double score = 0;
      int32_t id = 0;
      uint32_t begin = kNowhere;  // where its last piece begins
    };
    std::vector<Node> best(word.size() + 1);
    for (size_t begin = 0; begin < word.size();) {
      const size_t character = character_bytes(word[begin]);
      bool is_known = false;
      const auto offer = [&](size_t length, int32_t id, double score) {
        Node& node = best[begin + length];
        const double sum = score + best[begin].score;
        if (node.begin == kNowhere || sum > node.score)
          node = {sum, id, static_cast<uint32_t>(begin)};
      };
      pieces_.for_prefixes(word.substr(begin), [&](size_t length, int32_t id) {
        offer(length, id, scores_[static_cast<size_t>(id)]);
        is_known = is_known || length == character;
      });
      if (!is_known) offer(character, kUnknownId, unknown_score_);
      begin += character;
    }

    const size_t first = ids.size();
    for (size_t end = word.size(); end > 0;) {
      int32_t id = best[end].id;
      size_t begin = best[end].begin;
      if (id == kUnknownId) {  // neighbours that are unknown become one token
        while (begin > 0 && best[begin].id == kUnknownId) begin = best[begin].begin;
        const int32_t whole = pieces_.find(word.substr(begin, end - begin));
        if (whole >= 0) id = whole;
      }
      ids.push_back(id);
      end = begin;
    }
    std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) {
      std::string_view piece = texts_[static_cast<size_t>(id)];
      while (!piece.empty()) {
        const bool space = piece.starts_with(kSpace);
        const size_t length = character_bytes(piece[0]);
        text += space ? " " : piece.substr(0, length);
        piece.remove_prefix(length);
      }
    }
    return text.starts_with(' ') ? text.substr(1) : text;
  }

  static constexpr uint32_t kNowhere = std::numeric_limits<uint32_t>::max();

  Charsmap charsmap_;
  PieceIndex pieces_;
  std::vector<double> scores_;      // by id
  std::vector<std::string> texts_;  // by id, added tokens included
  double unknown_score_ = 0;
  SpecialTokenSplitter splitter_;
};

// Standard base64, padded.
std::string decode_base64(std::string_view text, const std::string& where) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int count = 0;
  size_t end = text.size();
  while (end > 0 && text.size() - end < 2 && text[end - 1] == '=') --end;
  for (const char c : text.substr(0, end)) {
    const int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (value < 0)
      fail(ErrorCode::corrupt_file, "{}: expected base64, got {}", where, in_quotes(text, 40));
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>(bits >> count & 0xFF));
  }
  if (text.size() % 4 != 0)
    fail(ErrorCode::corrupt_file, "{}: expected base64 in fours, got {} characters", where,
         text.size());
  return bytes;
}

// tokenizer.json, as transformers saves a T5 tokenizer: model.vocab is a list of [piece, score],
// the character map stands in a normalizer of type Precompiled, alone or in a sequence.
SentencePieceModel parse_tokenizer_json(const Json& json, const std::string& where) {
  const Json* model = find_member(json, "model", where);
  const Json* vocab = model ? find_member(*model, "vocab", where + ": model") : nullptr;
  if (vocab == nullptr || !vocab->is_array())
    fail(ErrorCode::corrupt_file, "{}: model.vocab: expected a list of pieces and scores", where);
  SentencePieceModel result;
  for (const Json& entry : *vocab) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      fail(ErrorCode::corrupt_file, "{}: model.vocab[{}]: expected a piece and its score, got {}",
           where, result.pieces.size(), describe(entry));
    SentencePiece piece{.text = entry[0].get<std::string>(), .score = entry[1].get<double>()};
    check_piece(piece, result.pieces.size(), where + ": model.vocab");
    result.pieces.push_back(std::move(piece));
  }
  const int64_t unknown = require_int(*model, "unk_id", where + ": model", 0, 1 << 24);
  if (static_cast<size_t>(unknown) >= result.pieces.size())
    fail(ErrorCode::corrupt_file, "{}: model.unk_id: expected one of {} pieces, got {}", where,
         result.pieces.size(), unknown);
  result.pieces[static_cast<size_t>(unknown)].type = SentencePiece::Type::unknown;

  const Json* normalizer = find_member(json, "normalizer", where);
  if (normalizer == nullptr || normalizer->is_null()) return result;
  const Json* sequence = find_member(*normalizer, "normalizers", where + ": normalizer");
  const Json alone = Json::array({*normalizer});
  for (const Json& part : sequence != nullptr && sequence->is_array() ? *sequence : alone) {
    const std::string place = where + ": normalizer";
    if (optional_string(part, "type", place, "") != "Precompiled") continue;
    const std::string key = "precompiled_charsmap";
    result.charsmap = decode_base64(require_string(part, key, place), place + ": " + key);
    break;
  }
  return result;
}

}  // namespace

std::unique_ptr<Tokenizer> load_t5_unigram(const std::filesystem::path& folder) {
  SpecialTokensConfig config = read_special_tokens(
      folder, {.extra_ids = 100, .bos = "", .eos = "</s>", .unk = "<unk>", .pad = "<pad>"});
  const auto extra = [](int i) { return fmt::format("<extra_id_{}>", i); };
  std::filesystem::path path = folder / "spiece.model";
  const std::filesystem::path json_path = folder / "tokenizer.json";
  SentencePieceModel model;
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored) || !std::filesystem::exists(json_path, ignored)) {
    model = parse_sentencepiece_model(read_text_file(path, kMaxModelBytes), path.string());
    if (!config.lists_extra_tokens)
      for (const SentencePiece& piece : model.pieces)
        if (piece.type == SentencePiece::Type::control ||
            piece.type == SentencePiece::Type::user_defined)
          config.tokens.push_back({.content = piece.text});
    // The model file lacks the extra ids; they follow its pieces, the last one first.
    for (int i = config.extra_ids - 1; i >= 0; --i)
      model.pieces.push_back({.text = extra(i), .type = SentencePiece::Type::control});
  } else {
    path = json_path;
    model = parse_tokenizer_json(
        parse_json(read_text_file(path, kTokenizerJson.bytes), path.string(), kTokenizerJson),
        path.string());
  }
  for (int i = 0; !config.lists_extra_tokens && i < config.extra_ids; ++i)
    config.tokens.push_back({.content = extra(i)});
  if (model.pieces.size() <= kUnknownId ||
      model.pieces[kUnknownId].type != SentencePiece::Type::unknown)
    fail(ErrorCode::unsupported, "{}: expected the unknown piece at id {}, as T5 has it",
         path.string(), kUnknownId);
  return std::make_unique<T5Unigram>(model, std::move(config), path.string(), folder);
}

}  // namespace fluxq
