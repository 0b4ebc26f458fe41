#include "quant/formats/s4.h"

#include <algorithm>

#include <algorithm>
#include "kernels/cpu/simd.h"
#include "quant/formats/absmax.h"

namespace fluxq {
namespace {

constexpr float kMidPoint = 8;

// What a bf16 operation of torch does: compute in f32, round once.
FLUXQ_INLINE float rounded(float value) { return cpu::to_float(cpu::round_to<bf16>(value)); }

}  // namespace

FLUXQ_SIMD S4Scale s4_scale(const float* x, int64_t count) {
  constexpr float kSmallestScale = 0x1p-126f;  // bf16's smallest normal number, torchao's choice
  float low = x[0], high = x[0];
#pragma omp simd reduction(min : low) reduction(max : high)
  for (int64_t i = 0; i < count; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  const float step = rounded(rounded(high - low) / 15.0f);
  const float scale = step > kSmallestScale ? step : kSmallestScale;
  return {bf16(scale), bf16(low + rounded(scale * kMidPoint))};
}

FLUXQ_SIMD void s4_encode(const float* x, int64_t count, S4Scale parameters, uint8_t* codes) {
  const float scale = cpu::to_float(parameters.scale);
  const float low = rounded(cpu::to_float(parameters.zero_point) - rounded(scale * kMidPoint));
  constexpr float kRound = 0x1.8p23f;  // next to it floats are 1 apart, so the addition rounds
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    float steps = rounded(rounded(x[i] - low) / scale);
    steps = steps > 0.0f ? steps : 0.0f;
    steps = steps < 15.0f ? steps : 15.0f;
    codes[i] = static_cast<uint8_t>(static_cast<int32_t>((steps + kRound) - kRound));
  }
}

FLUXQ_SIMD void s4_decode(const uint8_t* codes, int64_t count, S4Scale parameters, bf16* values) {
  const float scale = cpu::to_float(parameters.scale);
  const float zero_point = cpu::to_float(parameters.zero_point);
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float offset = rounded((static_cast<float>(codes[i]) - kMidPoint) * scale);
    values[i] = cpu::round_to<bf16>(offset + zero_point);
  }
}

void s4_bounds(const float* x, int64_t count, float* bounds) {
  // u = 2^-8 is bf16's rounding. The code is off by half a step and by two roundings of up to 15
  // steps, and as much again where the clamp to 0..15 bites; 8 steps are rounded once when it is
  // decoded: 0.5 + 68 u steps. The zero point, the group's low end (twice) and the result are each
  // about amax in size and rounded once: 4 u amax. 2^-133 is the step of bf16's subnormal numbers.
  constexpr float u = 0x1p-8f;
  const float scale = cpu::to_float(s4_scale(x, count).scale);
  const float bound = scale * (0.5f + 70 * u) + absmax(x, count) * (4.25f * u) + 4 * 0x1p-133f;
  std::fill_n(bounds, count, bound);
}

void s4_store(const uint8_t* codes, int64_t count, uint8_t* packed) {
  const auto nibble = [](uint8_t code) { return (code ^ 8) & 15; };  // code - 8
  for (int64_t i = 0; i < count / 2; ++i)
    packed[i] = static_cast<uint8_t>(nibble(codes[2 * i]) | nibble(codes[2 * i + 1]) << 4);
}

void s4_load(const uint8_t* packed, int64_t count, uint8_t* codes) {
  for (int64_t i = 0; i < count / 2; ++i) {
    codes[2 * i] = (packed[i] & 15) ^ 8;
    codes[2 * i + 1] = (packed[i] >> 4) ^ 8;
  }
}

}  // namespace fluxq
