#include "checkpoint/weights_hash.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/sha256.h"
#include "base/test_support.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

TEST(WeightsHash, IsThatOfSha256sumsOutput) {
  const TempFolder folder;
  for (const char* part : {"b", "a", "a-b", "config", ".hidden"})
    fs::create_directory(folder / part);
  write_test_file(folder / "b" / "x.safetensors", "abc");
  write_test_file(folder / "a" / "y.safetensors", "");
  write_test_file(folder / "a" / "x.safetensors", "1");
  write_test_file(folder / "a-b" / "x.safetensors", "2");
  const std::string lines = sha256_hex("2") + "  a-b/x.safetensors\n" + sha256_hex("1") +
                            "  a/x.safetensors\n" + sha256_hex("") + "  a/y.safetensors\n" +
                            sha256_hex("abc") + "  b/x.safetensors\n";
  const std::string expected = sha256_hex(lines);
  EXPECT_EQ(weights_sha256(folder.path(), 1), expected);
  // What is no weight file of a part does not count.
  write_test_file(folder / "config" / "config.json", "{}");
  write_test_file(folder / "whole.safetensors", "x");
  write_test_file(folder / ".hidden" / "x.safetensors", "x");
  write_test_file(folder / "a" / ".x.safetensors", "x");
  EXPECT_EQ(weights_sha256(folder.path(), 3), expected);
  write_test_file(folder / "a" / "x.safetensors", "3");
  EXPECT_NE(weights_sha256(folder.path(), 1), expected);
  EXPECT_EQ(weights_sha256(folder / "whole.safetensors", 1), sha256_hex("x"));
}

// Made by: cd models/emoji-flux && LC_ALL=C && sha256sum */*.safetensors | sha256sum
TEST(WeightsHash, OfTheBundledModelIsWhatTheShellSays) {
  EXPECT_EQ(weights_sha256(fs::path(FLUXQ_SOURCE_DIR) / "models/emoji-flux", 2),
            "1336eb0dbb3fa9074261acc0179c4ecc9e7bb9b6711188c7981d3b6cf8e753e8");
}

TEST(WeightsHash, AFolderWithoutWeightsIsAnError) {
  const TempFolder folder;
  EXPECT_FLUXQ_ERROR(weights_sha256(folder.path(), 1), not_found, "got none");
  EXPECT_FLUXQ_ERROR(weights_sha256(folder / "gone", 1), not_found, "gone");
  CancelToken cancel;
  cancel.request();
  EXPECT_FLUXQ_ERROR(weights_sha256(fs::path(FLUXQ_SOURCE_DIR) / "models/emoji-flux", 2, cancel),
                     cancelled, "");
}

}  // namespace
}  // namespace fluxq
