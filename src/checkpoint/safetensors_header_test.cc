#include "checkpoint/safetensors_header.h"

#include <gtest/gtest.h>

#include "base/test_support.h"
#include "base/text.h"

namespace fluxq {
namespace {

// One test line: the header's text, the bytes that follow it, and a part of the message.
struct Bad {
  std::string text;
  uint64_t data_bytes;
  std::string message;
};

void expect_refused(const std::vector<Bad>& cases, std::string_view code = "corrupt_file") {
  for (const Bad& bad : cases) {
    SCOPED_TRACE(in_quotes(bad.text, 200));
    try {
      parse_safetensors_header(bad.text, bad.data_bytes, "file");
      ADD_FAILURE() << "accepted; expected: " << bad.message;
    } catch (const Error& error) {
      EXPECT_EQ(error_info(error.code()).name, code) << error.what();
      EXPECT_THAT(error.what(), testing::StartsWith("file: "));
      EXPECT_THAT(error.what(), testing::HasSubstr(bad.message));
      EXPECT_TRUE(is_utf8(error.what()));
    }
  }
}

// {"t": {dtype, shape, data_offsets}} with the parts as written.
std::string one(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return fmt::format(R"({{"t":{{"dtype":{},"shape":{},"data_offsets":{}}}}})", dtype, shape,
                     offsets);
}

std::string named(std::string_view json_name) {
  return fmt::format(R"({{"{}":{{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}}})", json_name);
}

std::string f32_pair(std::string_view first, std::string_view second) {
  return fmt::format(R"({{"a":{{"dtype":"F32","shape":[2],"data_offsets":{}}},)"
                     R"("b":{{"dtype":"F32","shape":[2],"data_offsets":{}}}}})",
                     first, second);
}

TEST(SafetensorsHeader, OneTensorIsUnderstood) {
  const SafetensorsHeader header = parse_safetensors_header(
      R"({"__metadata__":{"format":"pt","é":""},"a.b":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}})",
      12, "file");
  ASSERT_EQ(header.tensors.size(), 1u);
  EXPECT_EQ(header.tensors.at("a.b"), (TensorEntry{DType::bf16, {2, 3}, 0, 12}));
  EXPECT_EQ(header.metadata, (Metadata{{"format", "pt"}, {"é", ""}}));
  EXPECT_TRUE(header.warnings.empty());
}

TEST(SafetensorsHeader, ValidOdditiesAreTaken) {
  const struct {
    std::string text;
    uint64_t data_bytes;
    std::string name;
    TensorEntry entry;
  } cases[] = {
      {one(R"("F32")", "[]", "[0,4]"), 4, "t", {DType::f32, {}, 0, 4}},
      {one(R"("F32")", "[0]", "[0,0]"), 0, "t", {DType::f32, {0}, 0, 0}},
      {one(R"("F32")", "[3,0,5]", "[0,0]"), 0, "t", {DType::f32, {3, 0, 5}, 0, 0}},
      {one(R"("F32")", "[1,1,1,1,1,1,1,2]", "[0,8]"),
       8,
       "t",
       {DType::f32, {1, 1, 1, 1, 1, 1, 1, 2}, 0, 8}},
      {one(R"("BOOL")", "[1]", "[0,1]"), 1, "t", {DType::boolean, {1}, 0, 1}},
      {"  \n\t " + one(R"("U8")", "[1]", "[0,1]") + "   ", 1, "t", {DType::u8, {1}, 0, 1}},
      {named(R"(\u0074\/\"\\é\ud83d\ude00)"), 2, "t/\"\\é😀", {DType::u8, {2}, 0, 2}},
      {named("../../etc/passwd"), 2, "../../etc/passwd", {DType::u8, {2}, 0, 2}},
      {named(std::string(512, 'n')), 2, std::string(512, 'n'), {DType::u8, {2}, 0, 2}},
      // Beyond 4 GiB, and in an order other than that of the names.
      {R"({"b":{"dtype":"U8","shape":[5000000000],"data_offsets":[0,5000000000]},)"
       R"("a":{"dtype":"U8","shape":[1],"data_offsets":[5000000000,5000000001]}})",
       5000000001,
       "a",
       {DType::u8, {1}, 5000000000, 1}},
      // F32 that begins at byte 1.
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("t":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
       5,
       "t",
       {DType::f32, {1}, 1, 4}},
      // Empty tensors between others, where names sort against offsets.
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]},)"
       R"("c":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)"
       R"("d":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       8,
       "b",
       {DType::f32, {0}, 4, 0}},
  };
  for (const auto& good : cases) {
    SCOPED_TRACE(in_quotes(good.text, 200));
    const SafetensorsHeader header = parse_safetensors_header(good.text, good.data_bytes, "file");
    ASSERT_EQ(header.tensors.count(good.name), 1u);
    EXPECT_EQ(header.tensors.at(good.name), good.entry);
    EXPECT_TRUE(header.warnings.empty());
  }
  EXPECT_TRUE(parse_safetensors_header("{}", 0, "file").tensors.empty());
}

TEST(SafetensorsHeader, UnknownFieldsGiveOneWarning) {
  const std::string entry =
      R"({"dtype":"U8","shape":[0],"data_offsets":[0,0],"note":[[[[[[]]]]]]})";
  const SafetensorsHeader header =
      parse_safetensors_header("{\"a\":" + entry + ",\"b\":" + entry + "}", 0, "file");
  EXPECT_EQ(header.tensors.size(), 2u);
  ASSERT_EQ(header.warnings.size(), 2u);
  EXPECT_THAT(header.warnings[0], testing::HasSubstr("tensor \"a\": field \"note\" is not part"));
  EXPECT_THAT(header.warnings[1], testing::HasSubstr("2 tensors"));
}

TEST(SafetensorsHeader, WhatIsNoObjectOfTensorsIsRefused) {
  expect_refused({
      {"", 0, "bad JSON"},
      {"[]", 0, "expected an object, got an array of 0"},
      {"null", 0, "got null"},
      {"7", 0, "got 7"},
      {"\"{}\"", 0, "got \"{}\""},
      {"{},", 0, "bad JSON"},
      {"{}{}", 0, "bad JSON"},
      {"{\"t\":1,}", 0, "bad JSON"},
      {"\xEF\xBB\xBF{}", 0, "byte order mark"},
      {std::string("{}\0\0", 4), 0, "NUL"},
      {"{\"\xFF\":1}", 0, "bad JSON"},
      {"{\"\xC0\x80\":1}", 0, "bad JSON"},
      {"{\"\\ud800\":1}", 0, "bad JSON"},
      {"{\"a\nb\":1}", 0, "bad JSON"},
      // Depth 8 is the last that is read (see the warning above), 9 is refused.
      {R"({"t":{"x":[[[[[[[]]]]]]]}})", 0, "at most 8 levels"},
      {"{\"t\":" + std::string(100000, '['), 0, "at most 8 levels"},
  });
}

TEST(SafetensorsHeader, NamesTwiceAreRefused) {
  const std::string entry = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  expect_refused({
      {"{\"t\":" + entry + ",\"t\":" + entry + "}", 1, "duplicate name \"t\""},
      {"{\"t\":" + entry + ",\"\\u0074\":" + entry + "}", 1, "duplicate name \"t\""},
      {R"({"t":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
       "duplicate name \"dtype\""},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "duplicate name \"__metadata__\""},
      {R"({"__metadata__":{"a":"","a":""}})", 0, "duplicate name \"a\""},
  });
}

TEST(SafetensorsHeader, NamesOutsideTheRuleAreRefused) {
  expect_refused({
      {named(""), 2, "got 0 bytes"},
      {named("a\\u0000b"), 2, "without control characters"},
      {named("a\\nb"), 2, "without control characters"},
      {named("a\x7F"), 2, "without control characters"},
      {named("\\u009b"), 2, "without control characters"},
      {named(std::string(513, 'n')), 2, "got 513 bytes"},
  });
}

TEST(SafetensorsHeader, MetadataIsStringsOfAtMostOneMebibyte) {
  const auto with = [](std::string_view metadata) {
    return fmt::format("{{\"__metadata__\":{}}}", metadata);
  };
  expect_refused({
      {with("null"), 0, "__metadata__: expected an object of strings, got null"},
      {with("[]"), 0, "got an array"},
      {with("\"x\""), 0, "got \"x\""},
      {with(R"({"a":1})"), 0, "\"a\": expected a string, got 1"},
      {with(R"({"a":{"b":"c"}})"), 0, "expected a string, got an object"},
      {with(R"({"a":null})"), 0, "expected a string, got null"},
      {with("{\"a\":\"" + std::string(1 << 20, 'x') + "\"}"), 0, "at most 1048576 bytes"},
  });
  EXPECT_NO_THROW(parse_safetensors_header(
      with("{\"a\":\"" + std::string((1 << 20) - 1, 'x') + "\"}"), 0, "file"));
}

TEST(SafetensorsHeader, EntriesOfTheWrongFormAreRefused) {
  const std::string tensor = "tensor \"t\"";
  expect_refused({
      {R"({"t":null})", 0, tensor + ": expected an object, got null"},
      {R"({"t":"x"})", 0, "expected an object, got \"x\""},
      {R"({"t":[]})", 0, "expected an object, got an array"},
      {R"({"t":{}})", 0, "dtype: expected a string, got nothing"},
      {R"({"t":{"shape":[1],"data_offsets":[0,1]}})", 1, "dtype: expected a string, got nothing"},
      {R"({"t":{"dtype":"U8","data_offsets":[0,1]}})", 1, "shape: expected an array"},
      {R"({"t":{"dtype":"U8","shape":[1]}})", 1, "data_offsets: expected an array"},
      {one("7", "[1]", "[0,1]"), 1, "dtype: expected a string, got 7"},
      {one("null", "[1]", "[0,1]"), 1, "got null"},
      {one(R"(["U8"])", "[1]", "[0,1]"), 1, "got an array"},
      {one(R"("u8")", "[1]", "[0,1]"), 1, "got \"u8\""},
      {one(R"("FLOAT32")", "[1]", "[0,4]"), 4, "got \"FLOAT32\""},
      {one(R"("")", "[1]", "[0,4]"), 4, "got \"\""},
      {one(R"("U8")", "1", "[0,1]"), 1, "shape: expected an array of at most 8 integers, got 1"},
      {one(R"("U8")", "null", "[0,1]"), 1, "got null"},
      {one(R"("U8")", R"({"0":1})", "[0,1]"), 1, "got an object"},
      {one(R"("U8")", "[-1]", "[0,1]"), 1, "got -1"},
      {one(R"("U8")", "[1.0]", "[0,1]"), 1, "got 1.0"},
      {one(R"("U8")", "[1e0]", "[0,1]"), 1, "got 1.0"},
      {one(R"("U8")", "[-0]", "[0,0]"), 0, "got 0"},
      {one(R"("U8")", "[\"1\"]", "[0,1]"), 1, "got \"1\""},
      {one(R"("U8")", "[true]", "[0,1]"), 1, "got true"},
      {one(R"("U8")", "[[1]]", "[0,1]"), 1, "got an array"},
      {one(R"("U8")", "[1e400]", "[0,1]"), 1, "number overflow"},
      {one(R"("U8")", "[18446744073709551616]", "[0,1]"), 1, "expected integers"},
      {one(R"("U8")", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, "at most 8 integers, got an array of 9"},
      {one(R"("U8")", "[1]", "1"), 1, "data_offsets: expected an array"},
      {one(R"("U8")", "[1]", "[]"), 1, "expected 2 integers, got 0"},
      {one(R"("U8")", "[1]", "[1]"), 1, "expected 2 integers, got 1"},
      {one(R"("U8")", "[1]", "[0,1,2]"), 1, "at most 2 integers, got an array of 3"},
      {one(R"("U8")", "[1]", "[0,1.0]"), 1, "got 1.0"},
      {one(R"("U8")", "[1]", "[-1,0]"), 1, "got -1"},
      {one(R"("U8")", "[1]", "[\"0\",\"1\"]"), 1, "got \"0\""},
      {one(R"("U8")", "[1]", "[null,1]"), 1, "got null"},
  });
  expect_refused({{one(R"("F4")", "[3]", "[0,2]"), 2, "cannot read dtype F4"},
                  {one(R"("C64")", "[1]", "[0,8]"), 8, "cannot read dtype C64"}},
                 "unsupported");
}

TEST(SafetensorsHeader, SizesThatDoNotFitAreRefused) {
  const std::string two_to_63 = "9223372036854775808";
  expect_refused({
      {one(R"("U8")", "[" + two_to_63 + "]", "[0,0]"), 0, "less than 2^63 elements"},
      {one(R"("U8")", "[0," + two_to_63 + "]", "[0,0]"), 0, "less than 2^63 elements"},
      {one(R"("U8")", "[4294967296,4294967296]", "[0,0]"), 0, "less than 2^63 elements"},
      {one(R"("U8")", "[4294967296,4294967296,0]", "[0,0]"), 0, "less than 2^63 elements"},
      // 2^61 elements of 8 bytes wrap to 0; (2^62 + 1) of 4 bytes to 4: the size the offsets have.
      {one(R"("F64")", "[2305843009213693952]", "[0,0]"), 0, "overflows 64 bits"},
      {one(R"("F32")", "[4611686018427387905]", "[0,4]"), 4, "overflows 64 bits"},
      // 2^32 + 1 squared is 2^64 + 2^33 + 1: wraps to 8589934593.
      {one(R"("U8")", "[4294967297,4294967297]", "[0,8589934593]"), 8589934593, "2^63 elements"},
      {one(R"("F32")", "[2]", "[0,4]"), 4, "expected 8 bytes for F32 [2], got 4"},
      {one(R"("F32")", "[1]", "[0,8]"), 8, "expected 4 bytes"},
      {one(R"("F32")", "[]", "[0,0]"), 0, "expected 4 bytes for F32 [], got 0"},
      {one(R"("F32")", "[0]", "[0,4]"), 4, "expected 0 bytes"},
  });
}

TEST(SafetensorsHeader, OffsetsThatDoNotCoverTheDataOnceAreRefused) {
  const std::string max = "18446744073709551615";
  expect_refused({
      {one(R"("U8")", "[1]", "[1,0]"), 1, "expected begin <= end"},
      {one(R"("U8")", "[1]", "[" + max + ",0]"), 1, "expected begin <= end"},
      {one(R"("U8")", "[1]", "[0," + max + "]"), 1, "within the file's 1 bytes"},
      {one(R"("U8")", "[1]", "[" + max + "," + max + "]"), 1, "within the file's 1 bytes"},
      {one(R"("F32")", "[2]", "[0,8]"), 7, "file cut short?"},
      {one(R"("F32")", "[2]", "[0,8]"), 0, "file cut short?"},
      {one(R"("F32")", "[1]", "[4,8]"), 8, "expected data at byte 0, got 4 (there is a hole"},
      {one(R"("F32")", "[0]", "[4,4]"), 4, "there is a hole"},
      {one(R"("F32")", "[1]", "[0,4]"), 5, "expected 4 bytes of tensor data, got 5 (trailing"},
      {"{}", 1, "trailing bytes"},
      {f32_pair("[0,8]", "[0,8]"), 16, "\"b\": expected data at byte 8, got 0 (it overlaps"},
      {f32_pair("[0,8]", "[0,8]"), 8, "it overlaps"},
      {f32_pair("[0,8]", "[4,12]"), 16, "it overlaps"},
      {f32_pair("[4,12]", "[0,8]"), 12, "\"a\": expected data at byte 8, got 4"},
      {f32_pair("[0,8]", "[12,20]"), 20, "there is a hole"},
      {f32_pair("[0,8]", "[8,16]"), 17, "trailing bytes"},
  });
  EXPECT_NO_THROW(parse_safetensors_header(f32_pair("[0,8]", "[8,16]"), 16, "file"));
}

TEST(SafetensorsHeader, TheNumberOfTensorsIsLimited) {
  const auto with_tensors = [](size_t count) {
    std::string text = "{\"__metadata__\":{}";
    for (size_t i = 0; i < count; ++i)
      text +=
          fmt::format(R"(,"{}":{{"dtype":"U8","shape":[],"data_offsets":[{},{}]}})", i, i, i + 1);
    return text + "}";
  };
  EXPECT_EQ(parse_safetensors_header(with_tensors(65536), 65536, "file").tensors.size(), 65536u);
  expect_refused({{with_tensors(65537), 65537, "at most 65536 tensors, got 65537"}});
  // Values that are no tensors count too, so that memory stays within a small multiple of the text.
  std::string many = "{\"t\":[0";
  for (int i = 0; i < (1 << 20); ++i) many += ",0";
  expect_refused({{many + "]}", 0, "at most 1048576 values"}});
}

}  // namespace
}  // namespace fluxq
