#include "sampling/latents.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace fluxq {
namespace {

TEST(Latents, PackAsDiffusersAndBack) {
  const std::string path = FLUXQ_SOURCE_DIR "/tests/golden/sampling/packing.json";
  const Json golden = parse_json(read_text_file(path, 1 << 20), path);
  const int64_t channels = golden.at("channels"), height = golden.at("height"),
                width = golden.at("width");
  std::vector<float> latents(channels * height * width), tokens(latents.size()),
      back(latents.size());
  std::iota(latents.begin(), latents.end(), 0.0f);
  pack_latents(latents, channels, height, width, tokens);
  EXPECT_EQ(tokens, golden.at("tokens").get<std::vector<float>>());
  unpack_latents(tokens, channels, height, width, back);
  EXPECT_EQ(back, latents);
}

TEST(Latents, RefuseSizesThatDoNotFit) {
  std::vector<float> a(16 * 4 * 4), b(16 * 4 * 4);
  EXPECT_THROW(pack_latents(a, 16, 4, 2, b), Error);
  EXPECT_THROW(pack_latents(a, 16, 16, 1, b), Error);  // as many values, but an odd side
}

}  // namespace
}  // namespace fluxq
