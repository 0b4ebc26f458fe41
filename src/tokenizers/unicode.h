/// Unicode as the Hugging Face `tokenizers` library (0.23) sees it, which transformers builds on.
/// utf8proc knows Unicode 15.0; that library mixes three versions: 9.0 for normalization, 16.0 for
/// the classes of characters, 17.0 for lower case and grapheme clusters. unicode_differences.h
/// lists what that changes, and tests compare all code points.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fluxq {

/// The code points of valid UTF-8.
std::u32string decode_utf8(std::string_view valid_utf8);
void append_utf8(std::string& out, char32_t code_point);
std::string encode_utf8(std::u32string_view code_points);

bool is_letter(char32_t c);      ///< \p{L}
bool is_number(char32_t c);      ///< \p{N}
bool is_whitespace(char32_t c);  ///< \s, which is White_Space

/// Appends c in lower case, without regard to what stands around it.
void append_lowercase(std::u32string& out, char32_t c);

/// Normalization form C. n log n in the longest run of combining marks.
std::u32string nfc(std::u32string_view text);

/// Where the extended grapheme cluster (user-perceived character) that begins at `begin` ends.
size_t grapheme_end(std::u32string_view text, size_t begin);

}  // namespace fluxq
