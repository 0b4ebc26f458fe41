#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace fluxq {
namespace {

// Bytes of the well-formed sequence that `text` begins with, 0 if there is none.
size_t sequence_length(std::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto tail = [&](size_t i) { return (at(i) & 0xC0) == 0x80; };
  const uint8_t lead = at(0);
  const uint8_t second = at(1);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (lead == 0xE0 && second < 0xA0) return 0;   // overlong
    if (lead == 0xED && second >= 0xA0) return 0;  // surrogates
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (lead == 0xF0 && second < 0x90) return 0;   // overlong
    if (lead == 0xF4 && second >= 0x90) return 0;  // above U+10FFFF
    return tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

// U+0000 to U+001F, U+007F, and U+0080 to U+009F (C2 80 to C2 9F), which some terminals obey too.
bool begins_with_control(std::string_view text) {
  const auto byte = static_cast<uint8_t>(text[0]);
  return byte < 0x20 || byte == 0x7F ||
         (byte == 0xC2 && text.size() > 1 && static_cast<uint8_t>(text[1]) < 0xA0);
}

}  // namespace

size_t find_invalid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = sequence_length(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

bool has_control_character(std::string_view text) {
  for (; !text.empty(); text.remove_prefix(1))
    if (begins_with_control(text)) return true;
  return false;
}

std::string in_quotes(std::string_view text, size_t max_bytes) {
  std::string out = "\"";
  while (!text.empty()) {
    if (out.size() > max_bytes) {
      out += "…";
      break;
    }
    const size_t length = sequence_length(text);
    const auto byte = static_cast<uint8_t>(text[0]);
    if (length == 0 || begins_with_control(text)) {
      for (size_t i = 0; i < std::max<size_t>(length, 1); ++i)
        out += fmt::format("\\x{:02X}", static_cast<uint8_t>(text[i]));
      text.remove_prefix(std::max<size_t>(length, 1));
      continue;
    }
    if (byte == '"' || byte == '\\') out += '\\';
    out += text.substr(0, length);
    text.remove_prefix(length);
  }
  return out + '"';
}

}  // namespace fluxq
