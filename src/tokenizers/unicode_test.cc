#include "tokenizers/unicode.h"

#include <gtest/gtest.h>

#include "tokenizers/test_support.h"

namespace fluxq {
namespace {

std::string hash_text(std::string_view text) {
  return fmt::format("{:016x}", fnv1a(std::as_bytes(std::span(text))));
}

bool is_surrogate(char32_t c) { return c >= 0xD800 && c < 0xE000; }

std::string nfc_of(std::u32string_view text) { return encode_utf8(nfc(text)); }

TEST(Unicode, AllCodePointsAreAsTheTokenizersLibraryHasThem) {
  const Json golden = read_golden_json("unicode.json");
  for (char32_t plane = 0; plane < 17; ++plane) {
    std::string data;
    for (char32_t c = plane << 16; c < (plane + 1) << 16; ++c) {
      if (is_surrogate(c)) continue;
      data += static_cast<char>(is_letter(c) + 2 * is_number(c) + 4 * is_whitespace(c));
      std::u32string lower;
      append_lowercase(lower, c);
      data += nfc_of(std::u32string(1, c)) + "\xff" + encode_utf8(lower) + "\xff";
    }
    EXPECT_EQ(hash_text(data), golden.at("planes")[plane]) << "plane " << static_cast<int>(plane);
  }
}

TEST(Unicode, AllMarksAreOrderedAsTheTokenizersLibraryOrdersThem) {
  std::string data;
  for (char32_t c = 0x300; c < 0x20000; ++c) {
    if (is_surrogate(c)) continue;
    data += nfc_of(std::u32string{U'q', c, U'\u0334'}) + "\xff";
    data += nfc_of(std::u32string{U'q', U'\u0345', c, U'\u0301'}) + "\xff";
  }
  EXPECT_EQ(hash_text(data), read_golden_json("unicode.json").at("marks"));
}

TEST(Unicode, GraphemeClustersAreWhatAPersonCallsACharacter) {
  const auto first_cluster = [](std::u32string_view text) { return grapheme_end(text, 0); };
  EXPECT_EQ(first_cluster(U"ab"), 1u);
  EXPECT_EQ(first_cluster(U"e\u0301\u0327x"), 3u);
  EXPECT_EQ(first_cluster(U"\r\n"), 2u);
  EXPECT_EQ(first_cluster(U"👩‍🚀x"), 3u);
  EXPECT_EQ(first_cluster(U"🇫🇷🇩🇪"), 2u);
  EXPECT_EQ(grapheme_end(U"🇫🇷🇩🇪", 2), 4u);
  EXPECT_EQ(first_cluster(U"\u1100\u1161\u11A8x"), 3u);
}

TEST(Unicode, Utf8ThereAndBack) {
  const std::string text = "a\u00e9\u20ac\U0001F34E";
  EXPECT_EQ(encode_utf8(decode_utf8(text)), text);
  EXPECT_EQ(decode_utf8(std::string_view("\0a", 2)).size(), 2u);
}

}  // namespace
}  // namespace fluxq
