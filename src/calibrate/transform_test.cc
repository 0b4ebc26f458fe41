#include "calibrate/transform.h"

#include "kernels/testing.h"
#include "quant/scheme.h"

namespace fluxq {
namespace {

// Pruning with update for one case: of each four inputs the first two always carry the same value
// (products[0][1] = products[0][0]), so one of their weights can take over the other's work.
class MergeTwins final : public WeightTransform {
 public:
  std::string name() const override { return "merge twins"; }
  bool needs_products() const override { return true; }
  TransformedWeight apply(const Tensor& weight, const InputStatistics& inputs,
                          std::string_view name) const override {
    const int64_t in = weight.dim(1);
    if (inputs.products.shape() != Shape{in, in})
      fail(ErrorCode::internal, "{}: statistics of {}", name, to_string(inputs.products.shape()));
    Tensor result = converted(weight, DType::f32);
    for (int64_t group = 0; group < weight.elements(); group += 4) {
      float* w = result.data<float>() + group;
      w[0] += w[1];
      w[1] = 0;
      (std::abs(w[2]) < std::abs(w[3]) ? w[2] : w[3]) = 0;
    }
    return {result, {}};
  }
};

constexpr int64_t kOut = 8, kIn = 64, kRows = 50;

// Rows whose column 4 i + 1 equals column 4 i.
Tensor twin_inputs() {
  Tensor x = testing::random_tensor(DType::f32, {kRows, kIn}, 1);
  for (int64_t i = 1; i < x.elements(); i += 4) x.data<float>()[i] = x.data<float>()[i - 1];
  return x;
}

InputStatistics statistics(const Tensor& x) {
  InputStatistics inputs{x.dim(0), Tensor::on_host(DType::f32, {kIn}),
                         Tensor::on_host(DType::f32, {kIn, kIn})};
  const float* values = x.data<float>();
  for (int64_t i = 0; i < kIn; ++i) {
    float largest = 0;
    for (int64_t r = 0; r < kRows; ++r) largest = std::max(largest, std::abs(values[r * kIn + i]));
    inputs.absmax.data<float>()[i] = largest;
    for (int64_t j = 0; j < kIn; ++j) {
      float sum = 0;
      for (int64_t r = 0; r < kRows; ++r) sum += values[r * kIn + i] * values[r * kIn + j];
      inputs.products.data<float>()[i * kIn + j] = sum / kRows;
    }
  }
  return inputs;
}

// |x (a - b)^T| squared.
double output_error(const Tensor& x, const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t o = 0; o < kOut; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < kIn; ++i) {
        const auto at = static_cast<size_t>(o * kIn + i);
        sum += static_cast<double>(x.data<float>()[r * kIn + i]) * (a[at] - b[at]);
      }
      error += sum * sum;
    }
  }
  return error;
}

TEST(WeightTransform, ASchemesOwnPackingKeepsTheMaskOfAPruningTransform) {
  const Scheme& scheme = find_scheme("sparse24-int8dq");
  // The twins are the two largest of each four, so that magnitude alone would keep just them.
  Tensor weight = testing::random_tensor(DType::f32, {kOut, kIn}, 2);
  for (int64_t i = 0; i < weight.elements(); ++i) {
    float& value = weight.data<float>()[i];
    const float magnitude = std::min(std::abs(value), 1.0f) * 0.5f + (i % 4 < 2 ? 1.0f : 0.25f);
    value = std::copysign(magnitude, value);
  }
  const Tensor x = twin_inputs();
  const TransformedWeight made = MergeTwins().apply(weight, statistics(x), "layer");

  const std::vector<float> kept = scheme.unpack(scheme.pack(made.weight, "layer"));
  for (int64_t i = 0; i < weight.elements(); ++i) {
    const float transformed = made.weight.data<float>()[i];
    const float got = kept[static_cast<size_t>(i)];
    EXPECT_EQ(got == 0, transformed == 0) << i;
    EXPECT_NEAR(got, transformed, 0.03) << i;  // a step of int8 at this size of row
  }
  const std::vector<float> exact = to_floats(weight);
  const std::vector<float> by_magnitude = scheme.unpack(scheme.pack(weight, "layer"));
  EXPECT_LT(output_error(x, kept, exact), 0.7 * output_error(x, by_magnitude, exact));
}

}  // namespace
}  // namespace fluxq
