#include "tokenizers/charsmap.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/test_support.h"
#include "tokenizers/sentencepiece_model.h"
#include "tokenizers/test_support.h"
#include "tokenizers/unicode.h"

namespace fluxq {
namespace {

std::string bundled_map() {
  const std::string path = FLUXQ_SOURCE_DIR "/models/emoji-flux/tokenizer_2/spiece.model";
  return parse_sentencepiece_model(read_text_file(path, 1 << 20), path).charsmap;
}

TEST(Charsmap, AppliesToAllCodePointsAsTheTokenizersLibraryDoes) {
  const Charsmap map(bundled_map(), "map");
  std::string data;
  for (char32_t c = 1; c < 0x20000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const std::u32string text = {U'\u00aa', c, U'x', c, U'\u00bd', c, U'\u0301'};
    data += map.apply(encode_utf8(text)) + "\xff";
  }
  EXPECT_EQ(fmt::format("{:016x}", fnv1a(std::as_bytes(std::span(data)))),
            read_golden_json("unicode.json").at("charsmap"));
}

TEST(Charsmap, NoMapLeavesTextAlone) { EXPECT_EQ(Charsmap().apply("ﬁ ①\n"), "ﬁ ①\n"); }

// Little-endian words.
std::string words(std::initializer_list<uint32_t> values) {
  std::string bytes;
  for (const uint32_t value : values)
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  return bytes;
}

TEST(Charsmap, RefusesBrokenOnes) {
  using std::string_literals::operator""s;
  EXPECT_FLUXQ_ERROR(Charsmap("abc", "x"), corrupt_file, "x: character map: expected a table");
  EXPECT_FLUXQ_ERROR(Charsmap(words({0}), "x"), corrupt_file, "expected a table");
  EXPECT_FLUXQ_ERROR(Charsmap(words({5, 0, 0}), "x"), corrupt_file, "got one of 5");
  EXPECT_FLUXQ_ERROR(Charsmap(words({0xFFFFFFFC, 0, 0}), "x"), corrupt_file, "expected a table");
  EXPECT_FLUXQ_ERROR(Charsmap(words({12, 0, 0}), "x"), corrupt_file, "expected a table");
  EXPECT_FLUXQ_ERROR(Charsmap(words({4, 0}) + "\xff\0"s, "x"), corrupt_file, "UTF-8");
  EXPECT_FLUXQ_ERROR(Charsmap(words({4, 0x80000002}) + "a\0"s, "x"), corrupt_file, "got offset 2");
  EXPECT_FLUXQ_ERROR(Charsmap(words({4, 0x80000001}) + "\u00e9\0"s, "x"), corrupt_file, "offset 1");
  EXPECT_FLUXQ_ERROR(Charsmap(words({4, 0x80000000}) + std::string(256, 'a'), "x"), corrupt_file,
                     "at most 255 bytes");
}

// Whatever the table holds, lookups stay inside it: words of a real one replaced by random ones.
TEST(Charsmap, WrongTablesNeverLeadOutside) {
  const std::string good = bundled_map();
  uint32_t table_bytes;
  std::memcpy(&table_bytes, good.data(), sizeof table_bytes);
  std::string text;
  for (char32_t c = 1; c < 0x3000; c += 7) append_utf8(text, c);
  uint32_t random = 1;
  for (size_t i = 0; i < 40; ++i) {
    std::string bad = good;
    for (size_t at = 4 + i % 13 * 4; at < table_bytes; at += 4 * 7) {
      random = random * 1664525 + 1013904223;
      const uint32_t keep = random & 0x400 ? 0xFF : 0;  // of the label, so that it is still found
      uint32_t unit;
      std::memcpy(&unit, bad.data() + at, sizeof unit);
      unit = (unit & keep) | (random & ~keep & 0x7FFFFFFF);  // a node, not a value
      bad.replace(at, 4, words({unit}));
    }
    EXPECT_LT(Charsmap(bad, "x").apply(text).size(), 256 * text.size());
  }
}

}  // namespace
}  // namespace fluxq
