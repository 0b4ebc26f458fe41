// PSNR, SSIM and FLIP against scikit-image and flip-evaluator (tools/golden/metrics.py).
#include <cmath>

#include "base/file.h"
#include "base/json.h"
#include "base/test_support.h"
#include "image/png.h"
#include "metrics/flip.h"
#include "metrics/psnr.h"
#include "metrics/ssim.h"

namespace fluxq {
namespace {

// Of the mean. Tight enough to tell 67 pixels per degree from the tool's 67.02; the issue asks for
// 1e-4, which flat pictures need (below).
constexpr double kMeanTolerance = 1e-5, kFlatMeanTolerance = 1e-4;
// flip-evaluator computes in float. On flat pictures its feature filters (19 taps of values up to
// 1) leave up to 19 * 2^-24 where 0 is right, whose root, times the steepest slope of x^(1 - f) in
// f (1/e), is its error at a pixel: sqrt(19 * 2^-24 / sqrt(2)) / e.
constexpr double kMapTolerance = 3.3e-4;

struct Pair {
  std::string name;
  Image a, b;
  Json expected;
};

std::vector<Pair> golden_pairs() {
  const std::filesystem::path folder = FLUXQ_SOURCE_DIR "/tests/golden/metrics";
  std::vector<Pair> pairs;
  for (const Json& expected : parse_json(read_text_file(folder / "metrics.json", 1 << 20), "")) {
    const std::string name = require_string(expected, "name", "");
    pairs.push_back({name, read_png(folder / (name + "_a.png")).image,
                     read_png(folder / (name + "_b.png")).image, expected});
  }
  EXPECT_GE(pairs.size(), 20u);
  return pairs;
}

TEST(Golden, PsnrEqualsScikitImage) {
  for (const Pair& pair : golden_pairs()) {
    const double value = psnr(pair.a, pair.b);
    if (pair.expected["psnr"].is_null()) {
      EXPECT_EQ(value, INFINITY) << pair.name;
    } else {
      EXPECT_NEAR(value, pair.expected["psnr"].get<double>(), 1e-9) << pair.name;
    }
  }
}

TEST(Golden, SsimEqualsScikitImage) {
  for (const Pair& pair : golden_pairs()) {
    if (pair.expected["ssim"].is_null()) {
      EXPECT_FLUXQ_ERROR(ssim(pair.a, pair.b), bad_argument, "at least 11");
    } else {
      EXPECT_NEAR(ssim(pair.a, pair.b), pair.expected["ssim"].get<double>(), 1e-9) << pair.name;
    }
  }
}

TEST(Golden, FlipEqualsFlipEvaluator) {
  for (const Pair& pair : golden_pairs()) {
    const Flip result = flip(pair.a, pair.b);
    const bool flat = pair.name.starts_with("flat_") || pair.name == "pixel";
    EXPECT_NEAR(result.mean, pair.expected["flip"].get<double>(),
                flat ? kFlatMeanTolerance : kMeanTolerance)
        << pair.name;
    ASSERT_EQ(result.map.size(), pair.a.rgb.size() / 3);
    for (const Json& sample : pair.expected["flip_map"]) {
      const int x = sample[0], y = sample[1];
      EXPECT_NEAR(result.map[y * pair.a.width + x], sample[2].get<double>(), kMapTolerance)
          << pair.name << " at " << x << ", " << y;
    }
  }
}

TEST(Golden, OrderDoesNotMatter) {
  for (const Pair& pair : golden_pairs()) {
    EXPECT_EQ(psnr(pair.a, pair.b), psnr(pair.b, pair.a)) << pair.name;
    EXPECT_EQ(flip(pair.a, pair.b).mean, flip(pair.b, pair.a).mean) << pair.name;
    if (!pair.expected["ssim"].is_null()) {
      EXPECT_EQ(ssim(pair.a, pair.b), ssim(pair.b, pair.a)) << pair.name;
    }
  }
}

TEST(Golden, UnequalSizesAreRefusedNamingBoth) {
  const Image wide{4, 3, std::vector<uint8_t>(36)}, tall{3, 4, std::vector<uint8_t>(36)};
  EXPECT_FLUXQ_ERROR(psnr(wide, tall), bad_argument, "4 x 3 and 3 x 4");
  EXPECT_FLUXQ_ERROR(ssim(wide, tall), bad_argument, "4 x 3 and 3 x 4");
  EXPECT_FLUXQ_ERROR(flip(wide, tall), bad_argument, "4 x 3 and 3 x 4");
  EXPECT_FLUXQ_ERROR(flip(Image{}, Image{}), bad_argument, "0 x 0");
}

}  // namespace
}  // namespace fluxq
