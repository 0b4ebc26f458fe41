/// Text from outside: is it UTF-8, and how to show it inside an error sentence.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fluxq {

/// The offset of the first byte that is not well-formed UTF-8 (overlong forms, surrogates and code
/// points above U+10FFFF are ill-formed too: Unicode 15, table 3-7), or npos.
size_t find_invalid_utf8(std::string_view text);

inline bool is_utf8(std::string_view text) {
  return find_invalid_utf8(text) == std::string_view::npos;
}

/// Does UTF-8 text hold a control character (U+0000 to U+001F, U+007F to U+009F)?
bool has_control_character(std::string_view text);

/// `text` in double quotes for a message: control characters and ill-formed bytes as \xNN, quotes
/// and backslashes escaped, cut with "…" after about `max_bytes`. Always UTF-8 and one line.
std::string in_quotes(std::string_view text, size_t max_bytes = 120);

}  // namespace fluxq
