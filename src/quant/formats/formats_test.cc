#include <cmath>
#include <limits>
#include <random>

#include "quant/formats/absmax.h"
#include "quant/formats/e4m3.h"
#include "quant/formats/s4.h"
#include "quant/formats/s8.h"
#include "quant/formats/sparse24.h"
#include "quant/testing.h"

namespace fluxq {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> all_finite_bf16() {
  std::vector<float> values;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto value = std::bit_cast<float>(bits << 16);
    if (std::isfinite(value)) values.push_back(value);
  }
  return values;
}

TEST(Absmax, IgnoresSignsAndKeepsWhatIsNoNumber) {
  const float x[] = {1, -3, 2, -0.0f};
  EXPECT_EQ(absmax(x, 4), 3);
  EXPECT_EQ(absmax(x, 0), 0);
  const float inf[] = {1, -kInf};
  EXPECT_EQ(absmax(inf, 2), kInf);
  const float nan[] = {kInf, -kNaN, 1};
  EXPECT_TRUE(std::isnan(absmax(nan, 3)));
}

TEST(E4m3, DecodesTheSpecificationsLandmarks) {
  EXPECT_EQ(e4m3_decode(0x00), 0);
  EXPECT_EQ(e4m3_decode(0x01), 0x1p-9f);
  EXPECT_EQ(e4m3_decode(0x07), 0x7p-9f);
  EXPECT_EQ(e4m3_decode(0x08), 0x1p-6f);
  EXPECT_EQ(e4m3_decode(0x38), 1);
  EXPECT_EQ(e4m3_decode(0x7e), 448);
  EXPECT_EQ(e4m3_decode(0xfe), -448);
  EXPECT_TRUE(std::isnan(e4m3_decode(0x7f)));
  EXPECT_TRUE(std::isnan(e4m3_decode(0xff)));
}

// The nearest of all codes by search; of two equally near ones the even code.
uint8_t nearest_code(float x) {
  uint8_t best = 0;
  for (int code = 0; code < 0x7f; ++code) {
    const double distance = std::abs(std::abs(x) - e4m3_decode(static_cast<uint8_t>(code)));
    const double least = std::abs(std::abs(x) - e4m3_decode(best));
    if (distance < least || (distance == least && code % 2 == 0)) best = static_cast<uint8_t>(code);
  }
  return std::signbit(x) ? best | 0x80 : best;
}

TEST(E4m3, EncodesEveryBf16ToTheNearestCode) {
  const std::vector<float> x = all_finite_bf16();
  std::vector<uint8_t> codes(x.size());
  std::vector<bf16> values(x.size());
  const auto count = static_cast<int64_t>(x.size());
  e4m3_encode(x.data(), count, 1.0f, codes.data());
  e4m3_encode(x.data(), count, 1.0f, values.data());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(codes[i], nearest_code(x[i])) << x[i];
    ASSERT_EQ(std::bit_cast<uint32_t>(static_cast<float>(values[i])),
              std::bit_cast<uint32_t>(e4m3_decode(codes[i])))
        << x[i];
  }
}

TEST(E4m3, AScaleIsNeverZero) {
  EXPECT_EQ(e4m3_scale(0), 1);
  EXPECT_EQ(e4m3_scale(0x1p-130f), 1);
  EXPECT_GT(e4m3_scale(0x1p-120f), 0);
  EXPECT_LT(e4m3_scale(0x1p-120f), 1);
  EXPECT_TRUE(std::isnan(e4m3_scale(kInf)));
  EXPECT_TRUE(std::isnan(e4m3_scale(kNaN)));
  const float zeros[] = {0, -0.0f, 0};
  uint8_t codes[3];
  EXPECT_EQ(e4m3_quantize(zeros, 3, codes), 1);
  for (uint8_t code : codes) EXPECT_EQ(e4m3_decode(code), 0);
}

TEST(E4m3, ARowWithoutAScaleHasCodesZero) {
  const float x[] = {1, kNaN, -2};
  bf16 values[3];
  EXPECT_TRUE(std::isnan(e4m3_quantize(x, 3, values)));
  for (bf16 value : values) EXPECT_EQ(value.bits, 0);
}

TEST(E4m3, BoundsAreHalfASteps) {
  const float x[] = {1.0f, 1.9f, 448.0f, 0.0f};  // scale 1
  float bounds[4];
  e4m3_bounds(x, 4, bounds);
  EXPECT_NEAR(bounds[0], 1.0 / 16, 1e-6);
  EXPECT_NEAR(bounds[1], 1.0 / 16, 1e-6);
  EXPECT_NEAR(bounds[2], 16, 1e-3);
  EXPECT_NEAR(bounds[3], 0x1p-10, 1e-9);
}

TEST(S8, TheLargestMagnitudeIsHalfAStepOutside) {
  const float x[] = {127.5f, -127.5f, 0.5f, 1.5f, -0.5f, 2.5f};
  int8_t codes[6];
  EXPECT_EQ(s8_quantize(x, 6, codes), 1);
  EXPECT_THAT(codes, ::testing::ElementsAre(127, -128, 0, 2, 0, 2));  // ties to even
}

TEST(S8, ScalesOfNothingAndOfNoNumber) {
  EXPECT_EQ(s8_scale(0), 0x1p-23f);
  EXPECT_TRUE(std::isnan(s8_scale(kInf)));
  const float x[] = {1, kNaN};
  int8_t codes[] = {5, 5};
  EXPECT_TRUE(std::isnan(s8_quantize(x, 2, codes)));
  EXPECT_THAT(codes, ::testing::Each(0));
}

TEST(S4, NibblesHoldTwosComplementEvenColumnLow) {
  const uint8_t codes[] = {8, 15, 0, 7};
  uint8_t packed[2], again[4];
  s4_store(codes, 4, packed);
  EXPECT_THAT(packed, ::testing::ElementsAre(0x70, 0xf8));
  s4_load(packed, 4, again);
  EXPECT_THAT(again, ::testing::ElementsAreArray(codes));
}

TEST(Sparse24, KeepsTheTwoLargestAndTheFirstOfEqualOnes) {
  std::vector<float> x = {1, -4, 3, 2, 5, 5, -5, 5, 0, 0, 0, 0, 0, 0, 0, -1};
  sparse24_prune(x.data(), 16);
  EXPECT_THAT(x, ::testing::ElementsAre(0, -4, 3, 0, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1));
}

TEST(Sparse24, ExpandsWhatItCompressed) {
  constexpr int64_t kCount = 4 * 257;  // an odd number of groups
  std::mt19937 random(1);
  std::vector<float> x(kCount);
  for (float& value : x) value = static_cast<float>(static_cast<int>(random() % 7) - 3);
  sparse24_prune(x.data(), kCount);
  const std::vector<int8_t> codes(x.begin(), x.end());
  std::vector<int8_t> kept(kCount / 2), again(kCount);
  std::vector<uint8_t> metadata(sparse24_metadata_bytes(kCount), 0xff);
  sparse24_compress(codes.data(), kCount, kept.data(), metadata.data());
  EXPECT_EQ(sparse24_bad_group(metadata.data(), kCount), -1);
  sparse24_expand(kept.data(), metadata.data(), kCount, again.data());
  EXPECT_EQ(again, codes);
}

TEST(Sparse24, FindsMetadataThatNobodyWrites) {
  const uint8_t good = 0b1110'0100;  // positions 0, 1 and 2, 3
  EXPECT_EQ(sparse24_bad_group(&good, 8), -1);
  const uint8_t falling = 0b0001'0100, same = 0b0100'0101;
  EXPECT_EQ(sparse24_bad_group(&falling, 8), 1);
  EXPECT_EQ(sparse24_bad_group(&same, 8), 0);
  EXPECT_EQ(sparse24_bad_group(&good, 4), 1) << "bits behind the row";
}

}  // namespace
}  // namespace fluxq
