#include "tokenizers/charsmap.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/text.h"
#include "tokenizers/unicode.h"

namespace fluxq {
namespace {

// A unit of darts-clone: either a value (bit 31) or a node with the byte that leads to it (low 8
// bits), a flag whether a value hangs below it, and the offset of its children.
bool is_value(uint32_t unit) { return unit >> 31 != 0; }
uint32_t value(uint32_t unit) { return unit & 0x7FFFFFFF; }
bool has_value(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }

// A cluster of at least so many bytes is replaced character by character.
constexpr size_t kLongClusterBytes = 6;
constexpr size_t kMaxReplacementBytes = 255;

}  // namespace

Charsmap::Charsmap(std::string_view bytes, std::string_view where) {
  uint32_t trie_bytes = 0;
  if (bytes.size() >= sizeof trie_bytes) std::memcpy(&trie_bytes, bytes.data(), sizeof trie_bytes);
  if (bytes.size() < sizeof trie_bytes || trie_bytes % 4 != 0 || trie_bytes == 0 ||
      trie_bytes > bytes.size() - sizeof trie_bytes)
    fail(ErrorCode::corrupt_file,
         "{}: character map: expected a table within its {} bytes, got one of {}", where,
         bytes.size(), trie_bytes);
  bytes.remove_prefix(sizeof trie_bytes);
  units_.resize(trie_bytes / 4);
  std::memcpy(units_.data(), bytes.data(), trie_bytes);
  replacements_ = bytes.substr(trie_bytes);
  if (!is_utf8(replacements_))
    fail(ErrorCode::corrupt_file, "{}: character map: expected replacements in UTF-8", where);
  for (const uint32_t unit : units_) {
    if (!is_value(unit)) continue;
    const size_t at = value(unit);
    if (at >= replacements_.size() ||
        (static_cast<unsigned char>(replacements_[at]) & 0xC0) == 0x80)
      fail(ErrorCode::corrupt_file,
           "{}: character map: expected a replacement that begins within {} bytes, got offset {}",
           where, replacements_.size(), at);
    // The longest in Unicode's NFKC has 33 bytes. Without a limit a small map could blow text up.
    const size_t most = std::min(replacements_.size() - at, kMaxReplacementBytes + 1);
    if (strnlen(replacements_.data() + at, most) > kMaxReplacementBytes)
      fail(ErrorCode::corrupt_file, "{}: character map: expected replacements of at most {} bytes",
           where, kMaxReplacementBytes);
  }
}

std::string Charsmap::apply(std::string_view text) const {
  if (units_.empty()) return std::string(text);
  const std::u32string characters = decode_utf8(text);
  std::string out;
  out.reserve(text.size());
  std::string cluster;
  std::string character;
  for (size_t begin = 0; begin < characters.size();) {
    const size_t end = grapheme_end(characters, begin);
    if (end - begin < kLongClusterBytes) {
      cluster = encode_utf8(std::u32string_view(characters).substr(begin, end - begin));
      if (cluster.size() < kLongClusterBytes) {
        if (const auto replaced = replacement(cluster)) {
          out += *replaced;
          begin = end;
          continue;
        }
      }
    }
    for (; begin < end; ++begin) {
      character.clear();
      append_utf8(character, characters[begin]);
      out += replacement(character).value_or(character);
    }
  }
  return out;
}

// What the shortest prefix of the chunk in the map becomes. Each step is checked, so that no map
// leads outside the table.
std::optional<std::string_view> Charsmap::replacement(std::string_view chunk) const {
  size_t node = offset(units_[0]);
  for (const char c : chunk) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) return std::nullopt;
    node ^= byte;
    if (node >= units_.size() || label(units_[node]) != byte) return std::nullopt;
    const uint32_t unit = units_[node];
    node ^= offset(unit);
    if (!has_value(unit)) continue;
    if (node >= units_.size() || !is_value(units_[node])) return std::nullopt;
    const char* start = replacements_.data() + value(units_[node]);
    const size_t rest = replacements_.size() - value(units_[node]);
    return std::string_view(start, strnlen(start, rest));
  }
  return std::nullopt;
}

}  // namespace fluxq
