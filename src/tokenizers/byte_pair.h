/// Byte-pair encoding of one word, as in the `tokenizers` library: the pair of neighbours whose
/// merge has the lowest rank becomes one symbol, the leftmost first, until no pair has a merge.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace fluxq {

class BytePairMerges {
 public:
  /// `pairs` in the order of their ranks, as token ids, each with the id of the merged token.
  /// `reserve` is a hint.
  void reserve(size_t pairs) { merges_.reserve(pairs); }
  /// Appends the merge with the next rank; false if the pair has one already.
  bool add(int32_t left, int32_t right, int32_t merged);

  /// Merges the symbols of a word in place. n log n in the length of the word.
  void apply(std::vector<int32_t>& symbols) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t merged;
  };
  const Merge* find(int32_t left, int32_t right) const;

  std::unordered_map<uint64_t, Merge> merges_;  // left << 32 | right
};

/// Byte-level tokens: each byte is written as one printable character (GPT-2's table: printable
/// Latin-1 stands for itself, the others follow from U+0100 in order).
char32_t character_of_byte(uint8_t byte);
/// The byte that a character stands for, or -1.
int byte_of_character(char32_t c);

}  // namespace fluxq
