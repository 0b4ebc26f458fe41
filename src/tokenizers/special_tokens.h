/// Special tokens of a Hugging Face tokenizer folder: what they are, and where their literals stand
/// in a text. As transformers 5 (tokenization_utils_base.py, tokenization_utils_tokenizers.py) and
/// the `tokenizers` library's added_vocabulary.rs.
#pragma once

#include <array>
#include <climits>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tokenizers/piece_index.h"

namespace fluxq {

/// The JSON files of a tokenizer folder are small: 2.4 MB for T5-XXL.
inline constexpr JsonLimits kTokenizerJson{.depth = 32, .bytes = 32 << 20, .values = 2 << 20};

struct SpecialToken {
  std::string content;
  bool normalized = false;  ///< looked for in the normalized text, in normalized form
  bool lstrip = false;      ///< takes the whitespace before it with it
  bool rstrip = false;      ///< and after it
};

/// What a folder says about its special tokens and lengths.
struct SpecialTokensConfig {
  int model_max_length = INT_MAX;         ///< INT_MAX: no limit
  int extra_ids = 0;                      ///< T5's <extra_id_N>
  std::string bos, eos, unk, pad;         ///< contents; empty where there is none
  std::vector<SpecialToken> tokens = {};  ///< in the order in which ids are given; the first
                                          ///< definition of a content counts
  bool lists_extra_tokens = false;  ///< so the class's own further special tokens do not count
  std::map<std::string, int32_t> stated_ids = {};  ///< ids that the files state, by content
};

/// Reads tokenizer_config.json, special_tokens_map.json and the added tokens of tokenizer.json, as
/// far as they are there. `defaults` holds the tokens and numbers that the tokenizer's class has
/// when no file says otherwise. Errors: corrupt_file; unsupported for single_word tokens and
/// added_tokens.json.
SpecialTokensConfig read_special_tokens(const std::filesystem::path& folder,
                                        SpecialTokensConfig defaults);

struct SpecialTokenWithId {
  SpecialToken token;
  int32_t id;
};

/// Gives each token its id: that of its content in the vocabulary (`find` gives -1 for none), or
/// the next one from `next_id` on. corrupt_file if the folder's files state another id.
std::vector<SpecialTokenWithId> assign_ids(const SpecialTokensConfig& config,
                                           const std::function<int32_t(const std::string&)>& find,
                                           int32_t next_id, const std::filesystem::path& folder);

/// The id of a content among assigned tokens.
int32_t find_id(std::span<const SpecialTokenWithId> tokens, std::string_view content);

/// Cuts a text at the literals of special tokens.
class SpecialTokenSplitter {
 public:
  using Normalize = std::function<std::string(std::string_view)>;

  SpecialTokenSplitter() = default;
  /// `normalize` is what the tokenizer does to text before it cuts it into words.
  SpecialTokenSplitter(std::vector<SpecialTokenWithId> tokens, Normalize normalize);

  /// Goes through valid UTF-8 from left to right: on_text gets normalized text between special
  /// tokens (never empty), on_token a special token's id.
  void split(std::string_view text, const std::function<void(std::string_view)>& on_text,
             const std::function<void(int32_t)>& on_token) const;

 private:
  struct Set {
    std::vector<SpecialTokenWithId> tokens;
    PieceIndex index;  // literal → position in tokens
  };
  static void split_by(const Set& set, std::string_view text,
                       const std::function<void(std::string_view)>& on_text,
                       const std::function<void(int32_t)>& on_token);

  std::array<Set, 2> sets_;  // as written; normalized
  Normalize normalize_;
};

}  // namespace fluxq
