#include "report/markup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace fluxq::report {
namespace {

TEST(Markup, CleansWhatMovesOrHidesText) {
  EXPECT_EQ(clean_text("two\nlines\tand\r\nmore"), "two lines and  more");
  EXPECT_EQ(clean_text("a\x1b[31mb"), "a\xEF\xBF\xBD[31mb");
  EXPECT_EQ(clean_text("evil\xE2\x80\xAEgnp.exe"), "evil\xEF\xBF\xBDgnp.exe");  // U+202E
  EXPECT_EQ(clean_text("cut\xF0\x9F"), "cut\xEF\xBF\xBD\xEF\xBF\xBD");
  // Joined emoji and scripts that need joiners stay.
  EXPECT_EQ(clean_text("\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x9A\x80"),
            "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x9A\x80");
}

TEST(Markup, HtmlStaysText) {
  EXPECT_EQ(escape_html("<script>alert('1')</script> & \"x\""),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;");
  EXPECT_EQ(escape_html("&amp;"), "&amp;amp;");
}

TEST(Markup, MarkdownStaysText) {
  EXPECT_EQ(escape_markdown("[click](javascript:x)"), "\\[click\\](javascript:x)");
  EXPECT_EQ(escape_markdown("a|b `c` *d* _e_ <b>"), "a\\|b \\`c\\` \\*d\\* \\_e\\_ \\<b\\>");
  EXPECT_EQ(escape_markdown("# head"), "\\# head");
  EXPECT_EQ(escape_markdown("1. item"), "1\\. item");
  EXPECT_EQ(escape_markdown("1.5 is a number"), "1.5 is a number");
  EXPECT_EQ(escape_markdown("see http://x.y"), "see http\\://x.y");
  EXPECT_EQ(escape_markdown("ask @you"), "ask \\@you");
  EXPECT_EQ(escape_markdown("x\n\n# y"), "x  # y") << "no line can begin within a text";
}

TEST(Markup, PathsAreRelativeAndPlain) {
  EXPECT_EQ(escape_path("pictures/a b\"c).png"), "pictures/a%20b%22c%29.png");
  EXPECT_EQ(escape_path("javascript:alert(1)"), "javascript%3Aalert%281%29");
  EXPECT_EQ(escape_path("//host/x"), ".//host/x");
}

TEST(Markup, CsvIsNoFormula) {
  EXPECT_EQ(csv_field("plain"), "plain");
  EXPECT_EQ(csv_field("a,b \"c\""), "\"a,b \"\"c\"\"\"");
  for (const char* formula : {"=1+1", "+1", "-1", "@x", "  =1", "\t=1", "\n=1", "'=1", "\"=1"})
    EXPECT_THAT(csv_field(formula), ::testing::StartsWith("\"'")) << formula;
}

TEST(Markup, Base64OfAllTails) {
  const std::array<std::byte, 4> bytes = {std::byte{0xFF}, std::byte{0x00}, std::byte{0xAB},
                                          std::byte{0x3E}};
  EXPECT_EQ(base64({}), "");
  EXPECT_EQ(base64(std::span(bytes).first(1)), "/w==");
  EXPECT_EQ(base64(std::span(bytes).first(2)), "/wA=");
  EXPECT_EQ(base64(std::span(bytes).first(3)), "/wCr");
  EXPECT_EQ(base64(bytes), "/wCrPg==");
}

}  // namespace
}  // namespace fluxq::report
