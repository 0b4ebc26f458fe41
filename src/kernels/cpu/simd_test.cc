#include "kernels/cpu/simd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/row_values.h"

namespace fluxq {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> activated(Act act, std::vector<float> values) {
  cpu::activate(act, values.data(), static_cast<int64_t>(values.size()));
  return values;
}

double exact(Act act, double v) {
  switch (act) {
    case Act::gelu_tanh: {
      const double u = std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v);
      return v / (1 + std::exp(-2 * u));
    }
    case Act::gelu_erf:
      return 0.5 * v * std::erfc(-v / std::sqrt(2.0));
    case Act::quick_gelu:
      return v / (1 + std::exp(-1.702 * v));
    case Act::relu:
      return std::max(v, 0.0);
    case Act::silu:
      return v / (1 + std::exp(-v));
    default:
      return v;
  }
}

TEST(Exp, IsWithinItsErrorWhereResultsAreNormal) {
  double worst = 0;
  for (double x = -87; x < 88; x += 0.00137) {
    const float argument = static_cast<float>(x);
    const double expected = std::exp(static_cast<double>(argument));
    worst = std::max(worst, std::abs(cpu::exp_of(argument) / expected - 1));
  }
  EXPECT_LT(worst, 2.5e-7);
}

TEST(Exp, EndsInZeroAndStaysNan) {
  EXPECT_EQ(cpu::exp_of(0), 1);
  EXPECT_GT(cpu::exp_of(-87), 1e-38f);
  EXPECT_EQ(cpu::exp_of(-87.001f), 0);
  EXPECT_EQ(cpu::exp_of(-kInfinity), 0);
  EXPECT_TRUE(std::isnan(cpu::exp_of(kNan)));
}

TEST(Rows, AreFoldedWhole) {
  for (const int64_t count : {1, 15, 16, 17, 31, 32, 33, 64, 100}) {
    std::vector<float> x(count);
    float sum = 0, squares = 0;
    for (int64_t i = 0; i < count; ++i) {
      x[i] = static_cast<float>(i * 37 % 101) - 120;  // small integers: sums are exact
      sum += x[i];
      squares += x[i] * x[i];
    }
    EXPECT_EQ(cpu::sum_of(x.data(), count), sum);
    EXPECT_EQ(cpu::sum_of_squares(x.data(), count), squares);
    EXPECT_EQ(cpu::largest_of(x.data(), count), *std::max_element(x.begin(), x.end()));
  }
}

TEST(Activate, IsCloseToExactEverywhere) {
  for (const Act act :
       {Act::none, Act::gelu_tanh, Act::gelu_erf, Act::quick_gelu, Act::relu, Act::silu}) {
    std::vector<float> inputs;
    for (double v = -20; v < 20; v += 0.0031) inputs.push_back(static_cast<float>(v));
    const std::vector<float> got = activated(act, inputs);
    for (size_t i = 0; i < inputs.size(); ++i) {
      const double v = inputs[i], expected = exact(act, v);
      // Where the result is a tail e^-u, an error of u's own rounding is u times as large.
      const double exponent =
          act == Act::gelu_erf ? v * v : std::abs(2 * v) + 0.08 * std::abs(v * v * v);
      const double tolerance =
          std::abs(expected) * (6e-7 + (v < 0 ? 2.4e-7 * exponent : 0)) + 1e-36;
      ASSERT_NEAR(got[i], expected, tolerance)
          << "activation " << static_cast<int>(act) << " of " << v;
    }
  }
}

TEST(Activate, KeepsNanAndEndsRight) {
  for (const Act act :
       {Act::none, Act::gelu_tanh, Act::gelu_erf, Act::quick_gelu, Act::relu, Act::silu}) {
    const std::vector<float> got = activated(act, {kNan, 1e30f, kInfinity, -1e30f});
    EXPECT_TRUE(std::isnan(got[0]));
    EXPECT_EQ(got[1], 1e30f);
    EXPECT_EQ(got[2], kInfinity);
    EXPECT_EQ(got[3], act == Act::none ? -1e30f : 0.0f);
  }
}

TEST(Narrow, RoundsAsBf16Does) {
  std::vector<float> values;
  for (uint32_t high = 0; high < 0x10000; high += 7)
    for (const uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      values.push_back(std::bit_cast<float>(high << 16 | low));
  std::vector<bf16> got(values.size());
  cpu::narrow(values.data(), static_cast<int64_t>(values.size()), DType::bf16, got.data());
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(got[i].bits, bf16(values[i]).bits) << i;
  std::vector<float> back(values.size());
  cpu::widen(got.data(), DType::bf16, static_cast<int64_t>(values.size()), back.data());
  for (size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(std::bit_cast<uint32_t>(back[i]), uint32_t{got[i].bits} << 16) << i;
}

}  // namespace
}  // namespace fluxq
