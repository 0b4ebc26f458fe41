#include "base/json.h"

#include <gtest/gtest.h>

#include "base/test_support.h"
#include "base/text.h"

namespace fluxq {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(Json, ValidTextGivesItsValue) {
  const Json value = parse_json(
      R"(  {"a": [1, -2, 2.5, "x\u00e9\ud83d\ude00\u0000", null, true], "b": {"c": {}}, "": []} )",
      "f");
  EXPECT_EQ(value["a"][0], 1);
  EXPECT_EQ(value["a"][1], -2);
  EXPECT_EQ(value["a"][2], 2.5);
  EXPECT_EQ(value["a"][3], std::string("xé😀\0", 8));
  EXPECT_TRUE(value["a"][4].is_null());
  EXPECT_EQ(value["a"][5], true);
  EXPECT_EQ(value["b"]["c"], Json::object());
  EXPECT_EQ(value[""], Json::array());
  EXPECT_EQ(value.size(), 3u);
  EXPECT_EQ(parse_json("7", "f"), 7);
  EXPECT_EQ(parse_json("18446744073709551615", "f"), UINT64_MAX);
}

TEST(Json, WhatIsNoJsonIsRefusedWithPlaceAndReason) {
  const struct {
    std::string_view text, message;
  } cases[] = {
      {"", "f: bad JSON near line 1, column 1: "},
      {"   ", "line 1"},
      {"{", "unexpected end of input"},
      {"{}x", "line 1, column 4"},
      {"{}{}", "expected end of input"},
      {"{\"a\":1,}", "unexpected '}'"},
      {"[1,]", "unexpected ']'"},
      {"{\n \"a\": 01}", "line 2"},
      {"{a:1}", "invalid literal"},
      {"{1:1}", "expected string literal"},
      {"[NaN]", "invalid literal"},
      {"[Infinity]", "invalid literal"},
      {"[1e400]", "number overflow"},
      {"[-1e400]", "number overflow"},
      {"[+1]", "invalid literal"},
      {"[1.]", "invalid number"},
      {"[// comment\n1]", "invalid literal"},
      {"\xEF\xBB\xBF{}", "byte order mark"},
      {"[\"\xC0\x80\"]", "ill-formed UTF-8"},
      {"[\"\xFF\"]", "ill-formed UTF-8"},
      {"[\"\xED\xA0\x80\"]", "ill-formed UTF-8"},
      {"[\"\\ud800\"]", "surrogate"},
      {"[\"\\udc00\"]", "surrogate"},
      {"[\"\\ud800\\u0041\"]", "surrogate"},
      {"[\"a\nb\"]", "control character"},
      {"[\"a\tb\"]", "control character"},
      {"[\"\\x\"]", "forbidden character after backslash"},
      {std::string_view("{}\0", 3), "column 3: NUL byte"},
      {std::string_view("[\"\0\"]", 5), "NUL byte"},
      {"{\"a\":1,\"a\":1}", "duplicate name \"a\""},
      {"{\"a\":1,\"\\u0061\":2}", "duplicate name \"a\""},
      {"[{\"b\":{\"k\":0,\"k\":{}}}]", "duplicate name \"k\""},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(in_quotes(bad.text));
    EXPECT_FLUXQ_ERROR(parse_json(bad.text, "f"), corrupt_file, bad.message);
  }
}

TEST(Json, MessagesAreUtf8AndShortWhateverTheText) {
  std::string text = "[\"" + std::string(100000, 'x') + "\xFF\"]";
  try {
    parse_json(text, "f");
    FAIL();
  } catch (const Error& error) {
    EXPECT_TRUE(is_utf8(error.what()));
    EXPECT_LT(std::string_view(error.what()).size(), 400u);
  }
}

TEST(Json, EachLimitHoldsExactly) {
  EXPECT_NO_THROW(parse_json("[[[]]]", "f", {.depth = 3}));
  EXPECT_FLUXQ_ERROR(parse_json("[[[[]]]]", "f", {.depth = 3}), corrupt_file,
                     "at most 3 levels of nesting");
  EXPECT_FLUXQ_ERROR(parse_json("{\"a\":{\"a\":{\"a\":{}}}}", "f", {.depth = 3}), corrupt_file,
                     "at most 3 levels");
  EXPECT_NO_THROW(parse_json("[1,2]", "f", {.values = 3}));
  EXPECT_FLUXQ_ERROR(parse_json("[1,2,3]", "f", {.values = 3}), corrupt_file, "at most 3 values");
  EXPECT_NO_THROW(parse_json("[1]", "f", {.bytes = 3}));
  EXPECT_FLUXQ_ERROR(parse_json("[1] ", "f", {.bytes = 3}), corrupt_file, "at most 3 bytes");
}

TEST(Json, AMillionBracketsAreRefusedWithoutRecursion) {
  for (std::string_view bracket : {"[", "{\"a\":"}) {
    std::string text;
    for (int i = 0; i < 1000000; ++i) text += bracket;
    EXPECT_FLUXQ_ERROR(parse_json(text, "f"), corrupt_file, "at most 64 levels");
  }
}

TEST(Json, IntegersAreTakenWithinTheirRangeOnly) {
  const Json object = parse_json(
      R"({"i": 5, "n": -5, "f": 2.0, "e": 2e0, "s": "5", "b": true, "z": null, "u": 18446744073709551615})",
      "f");
  EXPECT_EQ(require_int(object, "i", "f", 5, 5), 5);
  EXPECT_EQ(require_int(object, "n", "f", -5, 0), -5);
  EXPECT_FLUXQ_ERROR(require_int(object, "i", "f", 6, 9), corrupt_file,
                     "f: i: expected an integer in 6 to 9, got 5");
  EXPECT_FLUXQ_ERROR(require_int(object, "i", "f", 0, 4), corrupt_file, "got 5");
  EXPECT_FLUXQ_ERROR(require_int(object, "u", "f", 0, kMax), corrupt_file,
                     "got 18446744073709551615");
  EXPECT_FLUXQ_ERROR(require_int(object, "f", "f", 0, 4), corrupt_file, "got 2.0");
  EXPECT_FLUXQ_ERROR(require_int(object, "e", "f", 0, 4), corrupt_file, "got 2.0");
  EXPECT_FLUXQ_ERROR(require_int(object, "s", "f", 0, 9), corrupt_file, "got \"5\"");
  EXPECT_FLUXQ_ERROR(require_int(object, "b", "f", 0, 9), corrupt_file, "got true");
  EXPECT_FLUXQ_ERROR(require_int(object, "z", "f", 0, 9), corrupt_file, "got null");
  EXPECT_FLUXQ_ERROR(require_int(object, "gone", "f", 0, 9), corrupt_file, "gone: expected");
  EXPECT_FLUXQ_ERROR(require_int(Json::array(), "i", "f", 0, 9), corrupt_file,
                     "f: expected an object, got an array of 0");
  EXPECT_EQ(optional_int(object, "gone", "f", 3, 0, 9), 3);
  EXPECT_EQ(optional_int(object, "z", "f", 3, 0, 9), 3);
  EXPECT_EQ(optional_int(object, "i", "f", 3, 0, 9), 5);
  EXPECT_FLUXQ_ERROR(optional_int(object, "s", "f", 3, 0, 9), corrupt_file, "got \"5\"");
}

TEST(Json, OtherGettersCheckTheirTypeToo) {
  const Json object =
      parse_json(R"({"i": 5, "d": 0.5, "s": "text", "b": false, "l": [1, 2], "m": [1, 2.0]})", "f");
  EXPECT_EQ(require_number(object, "i", "f"), 5.0);
  EXPECT_EQ(require_number(object, "d", "f", 0.5, 0.5), 0.5);
  EXPECT_FLUXQ_ERROR(require_number(object, "d", "f", 1, 2), corrupt_file,
                     "f: d: expected a number in 1 to 2, got 0.5");
  EXPECT_FLUXQ_ERROR(require_number(object, "s", "f"), corrupt_file, "expected a number, got");
  EXPECT_EQ(optional_number(object, "gone", "f", 1.5), 1.5);
  EXPECT_EQ(require_string(object, "s", "f"), "text");
  EXPECT_FLUXQ_ERROR(require_string(object, "i", "f"), corrupt_file, "expected a string, got 5");
  EXPECT_EQ(optional_string(object, "gone", "f", "else"), "else");
  EXPECT_FALSE(require_bool(object, "b", "f"));
  EXPECT_FLUXQ_ERROR(require_bool(object, "i", "f"), corrupt_file, "true or false");
  EXPECT_TRUE(optional_bool(object, "gone", "f", true));
  EXPECT_EQ(require_ints(object, "l", "f", 1, 2), (std::vector<int64_t>{1, 2}));
  EXPECT_FLUXQ_ERROR(require_ints(object, "l", "f", 1, 2, 1), corrupt_file, "got an array of 2");
  EXPECT_FLUXQ_ERROR(require_ints(object, "m", "f", 1, 2), corrupt_file, "got 2.0");
  EXPECT_FLUXQ_ERROR(require_ints(object, "s", "f", 1, 2), corrupt_file, "got \"text\"");
}

}  // namespace
}  // namespace fluxq
