#include "sampling/noise.h"

#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"

namespace fluxq {
namespace {

uint64_t fnv1a(std::span<const float> values) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (std::byte byte : std::as_bytes(values))
    hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3u;
  return hash;
}

TEST(Noise, EqualsTorchBitForBit) {
  std::ifstream golden(FLUXQ_SOURCE_DIR "/tests/golden/sampling/noise.txt");
  int cases = 0;
  for (std::string line; std::getline(golden, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream fields(line);
    uint64_t seed, hash;
    size_t size;
    fields >> seed >> size >> std::hex >> hash;
    SCOPED_TRACE("seed " + std::to_string(seed) + ", size " + std::to_string(size));
    ASSERT_TRUE(fields);
    std::vector<float> noise(size);
    draw_noise(seed, noise);
    EXPECT_EQ(fnv1a(noise), hash);
    uint32_t bits;
    for (size_t i = 0; fields >> bits; ++i)
      EXPECT_EQ(std::bit_cast<uint32_t>(noise.at(i)), bits) << "value " << i;
    ++cases;
  }
  EXPECT_EQ(cases, 8 * 23);  // all of tools/golden/sampling.py's seeds and sizes were seen
}

TEST(Noise, EachPictureOfABatchHasItsOwnSeed) {
  const uint64_t last_seed = ~uint64_t{0};  // the seed after it is 0
  for (uint64_t seed : {uint64_t{5}, last_seed}) {
    std::vector<float> batch(3 * 40), alone(40);
    draw_batch_noise(seed, 3, batch);
    for (uint64_t i = 0; i < 3; ++i) {
      draw_noise(seed + i, alone);
      EXPECT_EQ(std::vector<float>(&batch[i * 40], &batch[i * 40] + 40), alone);
    }
  }
}

TEST(Noise, RefusesABatchThatDoesNotDivide) {
  std::vector<float> values(10);
  EXPECT_THROW(draw_batch_noise(0, 3, values), Error);
  EXPECT_THROW(draw_batch_noise(0, 0, values), Error);
}

TEST(Noise, NothingToDraw) { draw_noise(1, {}); }

}  // namespace
}  // namespace fluxq
