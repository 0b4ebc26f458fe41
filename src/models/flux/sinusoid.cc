#include "models/flux/sinusoid.h"

#include <cmath>

namespace fluxq {
namespace {

float rounded(float value, DType dtype) {
  return dtype == DType::bf16 ? static_cast<float>(bf16(value)) : value;
}

}  // namespace

Tensor sinusoids(std::span<const float> values, DType stream) {
  constexpr int64_t kHalf = kSinusoidWidth / 2;
  const auto log_period = static_cast<float>(-std::log(10000.0));
  const Tensor table =
      Tensor::on_host(DType::f32, {static_cast<int64_t>(values.size()), kSinusoidWidth});
  float* row = table.data<float>();
  for (const float value : values) {
    for (int64_t i = 0; i < kHalf; ++i) {
      const float exponent = log_period * static_cast<float>(i) / static_cast<float>(kHalf);
      const float angle = value * static_cast<float>(std::exp(static_cast<double>(exponent)));
      row[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
      row[kHalf + i] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
    row += kSinusoidWidth;
  }
  return converted(table, stream);
}

float model_time(float time, DType stream) {
  // In float32 the round trip has been done by whoever computed the time (sampling/flow_match).
  if (stream == DType::f32) return time;
  return rounded(rounded(rounded(time, stream) / 1000, stream) * 1000, stream);
}

float model_guidance(float guidance, DType stream) {
  return rounded(rounded(guidance, stream) * 1000, stream);
}

}  // namespace fluxq
