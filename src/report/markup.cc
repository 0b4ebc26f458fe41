#include "report/markup.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.h"

namespace fluxq::report {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// U+200B-200F, U+202A-202E, U+2060-2069, U+FEFF: marks that nobody sees and that move others. The
// joiners U+200C and U+200D stay: scripts and emoji need them.
bool is_deceptive(char32_t c) {
  return c == 0x200B || c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E) ||
         (c >= 0x2060 && c <= 0x2069) || c == 0xFEFF || c == 0x061C || (c >= 0xFFFE && c <= 0xFFFF);
}

bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7F && c <= 0x9F); }

size_t length_of(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

char32_t decode(std::string_view bytes) {
  const auto byte = [&](size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(bytes[i]));
  };
  switch (bytes.size()) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3:
      return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    default:
      return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 |
             (byte(3) & 0x3F);
  }
}

bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

}  // namespace

std::string clean_text(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const size_t valid = std::min(find_invalid_utf8(text), text.size());
    for (size_t i = 0; i < valid;) {
      const std::string_view character =
          text.substr(i, length_of(static_cast<unsigned char>(text[i])));
      const char32_t c = decode(character);
      if (c == '\n' || c == '\r' || c == '\t') {
        clean += ' ';
      } else {
        clean += is_control(c) || is_deceptive(c) ? kReplacement : character;
      }
      i += character.size();
    }
    if (valid < text.size()) clean += kReplacement;
    text.remove_prefix(std::min(valid + 1, text.size()));
  }
  return clean;
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : clean_text(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string escape_markdown(std::string_view text) {
  const std::string clean = clean_text(text);
  std::string escaped;
  for (size_t i = 0; i < clean.size(); ++i) {
    const char c = clean[i];
    // Everything that can begin a construct within a line; "://" and "www." make links by
    // themselves, and @ makes mentions.
    const bool inside = is_one_of(c, "\\`*_[]<>|~&$^@") ||
                        (c == ':' && clean.substr(i + 1, 2) == "//") ||
                        (c == '.' && i >= 3 && clean.substr(i - 3, 3) == "www");
    // What makes a heading, a list, a quotation or a rule only where a line begins.
    const bool is_marker =
        c != '.' && c != ')' ? is_one_of(c, "#+-=!") : i + 1 == clean.size() || clean[i + 1] == ' ';
    const bool begins = is_marker && clean.find_first_not_of(" 0123456789") == i;
    if (inside || begins) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string escape_path(std::string_view path) {
  std::string escaped = path.starts_with('/') ? "." : "";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte < 128 && (std::isalnum(byte) || is_one_of(c, "/._-"));
    if (plain) {
      escaped += c;
    } else {
      escaped += fmt::format("%{:02X}", byte);
    }
  }
  return escaped;
}

std::string csv_field(std::string_view text) {
  const std::string clean = clean_text(text);
  const size_t first = clean.find_first_not_of(" '\"");
  // Full-width forms of the same characters begin formulas in some spreadsheets too.
  constexpr std::array<std::string_view, 8> kFormula = {"=", "+", "-", "@", "＝", "＋", "－", "＠"};
  const std::string_view rest =
      first == std::string::npos ? std::string_view() : std::string_view(clean).substr(first);
  const bool guarded = std::any_of(kFormula.begin(), kFormula.end(),
                                   [&](std::string_view start) { return rest.starts_with(start); });
  const std::string field = guarded ? "'" + clean : clean;
  if (field.find_first_of(",;\"'") == std::string::npos) return field;
  std::string quoted = "\"";
  for (const char c : field) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string base64(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j)
      group = group << 8 | (j < count ? static_cast<uint32_t>(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j) text += j <= count ? kDigits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

}  // namespace fluxq::report
