#include "base/sha256.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/test_support.h"

namespace fluxq {
namespace {

// The examples of FIPS 180-2, appendix B.
constexpr std::string_view kAbc =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr std::string_view kMillionAs =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(sha256_hex("abc"), kAbc);
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 pieces;
  for (int i = 0; i < 1000; ++i) pieces.update(std::string(1000, 'a'));
  EXPECT_EQ(pieces.hex(), kMillionAs);
}

TEST(Sha256, OfAFileIsThatOfItsBytesAndStopsWhenAsked) {
  const TempFolder folder;
  const std::string two_blocks_and_a_bit((2 << 20) + 3, 'x');
  for (const std::string& text : {std::string(), std::string("abc"), two_blocks_and_a_bit}) {
    write_test_file(folder / "f", text);
    EXPECT_EQ(sha256_file(folder / "f", CancelToken()), sha256_hex(text));
  }
  CancelToken cancel;
  cancel.request();
  EXPECT_FLUXQ_ERROR(sha256_file(folder / "f", cancel), cancelled, "interrupted");
}

}  // namespace
}  // namespace fluxq
