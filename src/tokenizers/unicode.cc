#include "tokenizers/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "tokenizers/unicode_differences.h"

namespace fluxq {
namespace {

template <typename Table>
auto find_range(const Table& table, char32_t c) -> decltype(std::begin(table)) {
  const auto after =
      std::upper_bound(std::begin(table), std::end(table), c,
                       [](char32_t x, const auto& range) { return x < range.first; });
  if (after == std::begin(table) || c > std::prev(after)->last) return nullptr;
  return std::prev(after);
}

// General category.
utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<int32_t>(c)); }

// Canonical combining class.
int combining_class(char32_t c) {
  if (c < 0x300) return 0;
  const int ccc = utf8proc_get_property(static_cast<int32_t>(c))->combining_class;
  return ccc != 0 && find_range(kUnorderedMarks, c) ? 0 : ccc;
}

void append_decomposed(std::u32string& out, char32_t c) {
  constexpr int kLongest = 8;  // Unicode's longest canonical decomposition has 4
  int32_t parts[kLongest];
  int boundary = 0;
  const auto count = c == kUncomposed
                         ? 0
                         : utf8proc_decompose_char(static_cast<int32_t>(c), parts, kLongest,
                                                   UTF8PROC_DECOMPOSE, &boundary);
  if (count <= 0 || count > kLongest) {
    out.push_back(c);
    return;
  }
  for (int i = 0; i < count; ++i) out.push_back(static_cast<char32_t>(parts[i]));
}

// The character that a and b combine to, if there is one.
std::optional<char32_t> compose(char32_t a, char32_t b) {
  int32_t pair[2] = {static_cast<int32_t>(a), static_cast<int32_t>(b)};
  if (utf8proc_normalize_utf32(
          pair, 2, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE)) != 1)
    return std::nullopt;
  const auto composed = static_cast<char32_t>(pair[0]);
  return composed == kUncomposed ? std::nullopt : std::optional(composed);
}

// Sorts each run of combining marks by class. (utf8proc's own way is quadratic.)
void order_marks(std::u32string& text) {
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    while (end < text.size() && combining_class(text[end]) != 0) ++end;
    std::stable_sort(text.begin() + static_cast<std::ptrdiff_t>(begin),
                     text.begin() + static_cast<std::ptrdiff_t>(end), [](char32_t a, char32_t b) {
                       return combining_class(a) < combining_class(b);
                     });
    begin = end + 1;
  }
}

}  // namespace

std::u32string decode_utf8(std::string_view valid_utf8) {
  std::u32string out;
  out.reserve(valid_utf8.size());
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(valid_utf8.data());
  for (size_t i = 0; i < valid_utf8.size();) {
    int32_t c = bytes[i];
    const auto length =
        c < 0x80
            ? 1
            : utf8proc_iterate(bytes + i, static_cast<utf8proc_ssize_t>(valid_utf8.size() - i), &c);
    if (length <= 0) break;  // not reached: the caller has checked the text
    out.push_back(static_cast<char32_t>(c));
    i += static_cast<size_t>(length);
  }
  return out;
}

void append_utf8(std::string& out, char32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const auto length = utf8proc_encode_char(static_cast<int32_t>(code_point), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

std::string encode_utf8(std::u32string_view code_points) {
  std::string out;
  out.reserve(code_points.size());
  for (const char32_t c : code_points) append_utf8(out, c);
  return out;
}

bool is_letter(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  const utf8proc_category_t kind = category(c);
  if (kind == UTF8PROC_CATEGORY_CN) return find_range(kNewLetters, c) != nullptr;
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_number(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const utf8proc_category_t kind = category(c);
  if (kind == UTF8PROC_CATEGORY_CN) return find_range(kNewNumbers, c) != nullptr;
  return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

bool is_whitespace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  const utf8proc_category_t kind = category(c);
  return c == 0x85 || (kind >= UTF8PROC_CATEGORY_ZS && kind <= UTF8PROC_CATEGORY_ZP);
}

void append_lowercase(std::u32string& out, char32_t c) {
  if (c < 0x80) {
    out.push_back(c >= 'A' && c <= 'Z' ? c + 32 : c);
  } else if (c == 0x130) {  // capital I with dot: the only one that becomes two
    out += U"i\u0307";
  } else if (const auto* range = find_range(kNewLowercase, c)) {
    out.push_back(static_cast<char32_t>(static_cast<int32_t>(c) + range->to_lower));
  } else {
    out.push_back(static_cast<char32_t>(utf8proc_tolower(static_cast<int32_t>(c))));
  }
}

std::u32string nfc(std::u32string_view text) {
  // Below U+0300 there is nothing to do.
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; }))
    return std::u32string(text);
  std::u32string parts;
  parts.reserve(text.size());
  for (const char32_t c : text) append_decomposed(parts, c);
  order_marks(parts);

  // Unicode 3.11, D117: a mark combines with the last starter if no character in between has its
  // class or a higher one.
  std::u32string out;
  out.reserve(parts.size());
  size_t starter = std::u32string::npos;
  int last_class = 0;
  for (const char32_t c : parts) {
    const int ccc = combining_class(c);
    const bool blocked = last_class == 0 ? starter + 1 != out.size() : last_class >= ccc;
    if (starter != std::u32string::npos && !blocked) {
      if (const auto composed = compose(out[starter], c)) {
        out[starter] = *composed;
        continue;
      }
    }
    if (ccc == 0) starter = out.size();
    last_class = ccc;
    out.push_back(c);
  }
  return out;
}

size_t grapheme_end(std::u32string_view text, size_t begin) {
  const auto known = [](char32_t c) {
    return static_cast<int32_t>(find_range(kNewExtenders, c) ? U'\u0301' : c);
  };
  int32_t state = 0;
  size_t end = begin + 1;
  while (end < text.size() &&
         !utf8proc_grapheme_break_stateful(known(text[end - 1]), known(text[end]), &state))
    ++end;
  return end;
}

}  // namespace fluxq
