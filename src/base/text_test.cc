#include "base/text.h"

#include <gtest/gtest.h>

namespace fluxq {
namespace {

TEST(Text, WellFormedUtf8IsTakenAtTheEdgesOfEachLength) {
  for (std::string_view text :
       {"", "a", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
        "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
    EXPECT_TRUE(is_utf8(text)) << in_quotes(text);
  EXPECT_TRUE(is_utf8(std::string_view("a\0b", 3)));
}

TEST(Text, IllFormedUtf8IsFoundWhereItBegins) {
  // Lone tail, overlong, surrogate, above U+10FFFF, cut short, never valid.
  for (std::string_view bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xC2", "\xE2\x82",
        "\xF0\x9F\x98", "\xFE", "\xFF"})
    EXPECT_EQ(find_invalid_utf8(std::string("é") + std::string(bad)), 2u) << in_quotes(bad);
}

TEST(Text, QuotesAreOneLineOfUtf8WhateverTheBytes) {
  EXPECT_EQ(in_quotes("plain é"), "\"plain é\"");
  EXPECT_EQ(in_quotes("a\nb\x7F\xFF"), "\"a\\x0Ab\\x7F\\xFF\"");
  EXPECT_EQ(in_quotes("\xC2\x9B"), "\"\\xC2\\x9B\"");
  EXPECT_EQ(in_quotes("say \"\\\""), "\"say \\\"\\\\\\\"\"");
  EXPECT_EQ(in_quotes("abcdef", 3), "\"abc…\"");
  EXPECT_EQ(in_quotes("abc", 3), "\"abc\"");
}

TEST(Text, ControlCharactersAreFound) {
  for (std::string_view text : {"\n", "a\x1F", "\x7F", "é\xC2\x80", "\xC2\x9F"})
    EXPECT_TRUE(has_control_character(text)) << in_quotes(text);
  for (std::string_view text : {"", "a b", "\xC2\xA0", "é😀"})
    EXPECT_FALSE(has_control_character(text)) << in_quotes(text);
}

}  // namespace
}  // namespace fluxq
