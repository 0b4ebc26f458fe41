#include "quant/formats/s8.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/simd.h"
#include "quant/formats/absmax.h"
#include "tensor/dtype.h"

namespace fluxq {

float s8_scale(float amax) {
  constexpr float kSmallestScale = 0x1p-23f;  // float32's epsilon, torchao's choice
  if (!std::isfinite(amax)) return std::nanf("");
  return std::max(static_cast<float>(bf16(amax / 127.5f)), kSmallestScale);
}

FLUXQ_SIMD void s8_encode(const float* x, int64_t count, float scale, int8_t* codes) {
  if (std::isnan(scale)) {
    std::fill_n(codes, count, int8_t{0});
    return;
  }
  constexpr float kRound = 0x1.8p23f;  // next to it floats are 1 apart, so the addition rounds
  const float inverse = 1.0f / scale;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    float value = x[i] * inverse;
    value = value < 127.0f ? value : 127.0f;
    value = value > -128.0f ? value : -128.0f;
    codes[i] = static_cast<int8_t>(static_cast<int32_t>((value + kRound) - kRound));
  }
}

float s8_quantize(const float* x, int64_t count, int8_t* codes) {
  const float scale = s8_scale(absmax(x, count));
  s8_encode(x, count, scale, codes);
  return scale;
}

void s8_bounds(const float* x, int64_t count, float* bounds) {
  const float scale = s8_scale(absmax(x, count));
  for (int64_t i = 0; i < count; ++i) {
    const float steps = std::max(0.5f, x[i] / scale - 127.0f);
    // The second term: float rounding of the inverse, of the product and of code * scale.
    bounds[i] = scale * steps + std::abs(x[i]) * 0x1p-21f;
  }
}

}  // namespace fluxq
