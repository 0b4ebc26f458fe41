/// Finds which strings of a set are prefixes of a text: the vocabulary of a unigram model, or the
/// special tokens. A sorted array narrowed byte by byte, so it costs nothing beyond the strings.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fluxq {

class PieceIndex {
 public:
  using Entry = std::pair<std::string, int32_t>;

  /// Strings, not empty, each with its id. Of equal strings the later one counts.
  explicit PieceIndex(std::vector<Entry> entries = {});

  /// Calls found(length in bytes, id) for each string that `text` begins with, shortest first.
  template <typename Found>
  void for_prefixes(std::string_view text, Found&& found) const;

  /// The id of a string, or -1.
  int32_t find(std::string_view text) const;

 private:
  std::vector<Entry> entries_;     // sorted by string
  std::vector<uint32_t> by_byte_;  // entries that begin with byte b: [by_byte_[b], by_byte_[b + 1])
};

template <typename Found>
void PieceIndex::for_prefixes(std::string_view text, Found&& found) const {
  if (text.empty()) return;
  const auto first = static_cast<unsigned char>(text[0]);
  auto low = entries_.begin() + by_byte_[first];
  auto high = entries_.begin() + by_byte_[first + 1];
  // All entries in [low, high) agree with the text in their first `depth` bytes.
  for (size_t depth = 1; low != high; ++depth) {
    if (low->first.size() == depth) found(depth, low++->second);
    if (depth == text.size()) return;
    const auto byte = static_cast<unsigned char>(text[depth]);
    const auto byte_at = [depth](const Entry& entry) {
      return static_cast<unsigned char>(entry.first[depth]);
    };
    low = std::partition_point(low, high, [&](const Entry& e) { return byte_at(e) < byte; });
    high = std::partition_point(low, high, [&](const Entry& e) { return byte_at(e) == byte; });
  }
}

}  // namespace fluxq
