// FLUX's positions and numbers against diffusers.
#include "kernels/testing.h"
#include "models/flux/rope.h"
#include "models/flux/sinusoid.h"
#include "models/testing.h"

namespace fluxq {
namespace {

using testing::golden_units;
using testing::values;
using testing::within;

std::vector<double> column(const Tensor& pairs, size_t which) {
  const std::vector<double> all = values(pairs);
  std::vector<double> result;
  for (size_t i = which; i < all.size(); i += 2) result.push_back(all[i]);
  return result;
}

void expect_rope(const std::array<int64_t, 3>& axes, int64_t text, int64_t height, int64_t width) {
  const std::string name =
      fmt::format("rope.{}.{}x{}x{}", fmt::join(axes, "-"), text, height, width);
  const Tensor rope = rope_table(axes, text, height, width);
  for (size_t which : {0, 1}) {
    const std::vector<double> expected =
        values(golden_units().read(name + (which == 0 ? ".cos" : ".sin")));
    // Both are float64 values rounded once: they differ where two libraries' cos and sin do.
    const std::vector<double> tolerance(expected.size(), 0x1p-24);
    EXPECT_TRUE(within(column(rope, which), expected, tolerance)) << name;
  }
}

TEST(Rope, TableIsThatOfDiffusers) {
  expect_rope({16, 56, 56}, 2, 3, 5);
  expect_rope({4, 8, 16}, 0, 70, 1);
}

TEST(Sinusoids, AreThoseOfDiffusers) {
  const Tensor numbers = golden_units().read("sinusoid.in");
  const std::vector<float> in = to_floats(numbers);
  const std::vector<double> got = values(sinusoids(in, DType::f32));
  std::vector<double> tolerance;
  // The angles are float32 products: a frequency that is one step off, as another exp may give it,
  // turns by 2^-23 of the angle.
  for (const float value : in)
    for (int i = 0; i < 256; ++i) tolerance.push_back(0x1p-23 * (1 + value));
  EXPECT_TRUE(within(got, values(golden_units().read("sinusoid.out")), tolerance));
}

TEST(Sinusoids, ComeInTheStreamsDtype) {
  const float numbers[] = {752.25f, 1};
  EXPECT_EQ(sinusoids(numbers, DType::bf16).dtype(), DType::bf16);
  EXPECT_EQ(sinusoids(numbers, DType::bf16).shape(), (Shape{2, 256}));
}

TEST(ModelNumbers, AreRoundedInBf16AsDiffusersDoes) {
  const std::vector<float> in = to_floats(golden_units().read("time.in"));
  const std::vector<float> time = to_floats(golden_units().read("time.bf16"));
  const std::vector<float> guidance = to_floats(golden_units().read("guidance.bf16"));
  ASSERT_EQ(in.size(), time.size());
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(model_time(in[i], DType::bf16), time[i]) << in[i];
    EXPECT_EQ(model_guidance(in[i], DType::bf16), guidance[i]) << in[i];
    EXPECT_EQ(model_time(in[i], DType::f32), in[i]);
    EXPECT_EQ(model_guidance(in[i], DType::f32), in[i] * 1000);
  }
}

}  // namespace
}  // namespace fluxq
