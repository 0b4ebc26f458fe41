/// From a prompt to token ids, as transformers 5 gives them to diffusers' FluxPipeline: called with
/// padding="max_length", max_length=max_tokens, truncation=True. The two kinds of FLUX.1 are loaded
/// from the Hugging Face folders of a diffusers checkpoint ("tokenizer", "tokenizer_2"). A loaded
/// tokenizer never changes and may be used from several threads at once.
///
/// Ids agree for every text. Where a folder is unusual, fluxq is stricter: what transformers takes
/// silently and no FLUX.1 folder has is refused (ids given twice, a special token whose stated id
/// is not its id in the vocabulary, scores that are no log probabilities, an unknown piece of T5
/// that is not id 2, padding or cutting on the left, tokens for single words only,
/// added_tokens.json). Of two forms of one vocabulary the older one is read (vocab.json with
/// merges.txt, spiece.model); transformers would read tokenizer.json, which says the same.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fluxq {

struct TokenIds {
  std::vector<int32_t> ids;  ///< exactly max_tokens, padded
  int used = 0;              ///< ids before the padding, begin and end tokens included
  int64_t total = 0;         ///< ids the whole text needs; above max_tokens the text was cut
  std::string cut_text;      ///< what was cut, for a warning: decoded, its first 64 tokens
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Begin token (CLIP), the text's tokens as far as they fit, end token, padding. Literals of
  /// special tokens in the text ("</s>") become those tokens, as transformers has it. Time and
  /// memory are near linear in the text.
  /// Errors: bad_argument if the text is not UTF-8 (with the byte offset), longer than 16 MiB, or
  /// if max_tokens is below the number of begin and end tokens or above 2^20.
  TokenIds encode(std::string_view utf8_text, int max_tokens) const;

  /// One above the largest id that encode can give: what an embedding must have at least.
  int vocab_size() const { return frame_.vocab_size; }
  /// tokenizer_config.json's model_max_length; INT_MAX if it sets no limit.
  int model_max_length() const { return frame_.model_max_length; }

 protected:
  /// What surrounds a text's tokens.
  struct Frame {
    std::vector<int32_t> begin;  ///< before the text
    int32_t end = 0;             ///< after it
    int32_t pad = 0;
    int vocab_size = 0;
    int model_max_length = 0;
  };
  void set_frame(Frame frame) { frame_ = std::move(frame); }

 private:
  /// All tokens of valid UTF-8, without those of the frame.
  virtual std::vector<int32_t> tokenize(std::string_view utf8_text) const = 0;
  /// About the text that these ids came from.
  virtual std::string decode(std::span<const int32_t> ids) const = 0;

  Frame frame_;
};

/// CLIP's byte-level BPE from vocab.json and merges.txt, or, if one of them is missing, from
/// tokenizer.json; tokenizer_config.json and special_tokens_map.json where they are.
/// Errors: not_found, io, corrupt_file, unsupported.
std::unique_ptr<Tokenizer> load_clip_bpe(const std::filesystem::path& folder);

/// T5's SentencePiece unigram model from spiece.model, or, if it is missing, from tokenizer.json;
/// tokenizer_config.json and special_tokens_map.json where they are. Errors: as load_clip_bpe.
std::unique_ptr<Tokenizer> load_t5_unigram(const std::filesystem::path& folder);

}  // namespace fluxq
