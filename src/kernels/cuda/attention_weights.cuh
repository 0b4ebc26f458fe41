/// 8-bit attention's weights: those of a tile of scores, in a warpgroup's registers as the tensor
/// cores leave them, ready to multiply values.
#pragma once

#include <bit>
#include <climits>
#include <cmath>

#include "kernels/cuda/attention_int8.cuh"
#include "kernels/cuda/device_values.cuh"
#include "kernels/cuda/rounded_pair.cuh"

namespace fluxq::cuda::attention8 {

// An s32 sum n that began at the bits of kOneAndAHalf reads as the float kOneAndAHalf + n.
constexpr auto kBegin = std::bit_cast<uint32_t>(kOneAndAHalf);

__device__ inline void start(uint32_t (&scores)[64]) {
#pragma unroll
  for (uint32_t& score : scores) score = kBegin;
}

__device__ inline float exp2_of(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

/// Two rows of a thread: row 0 is lane / 4 of its warp's 16, row 1 is 8 further down.
struct RowState {
  float reference[2], sum[2];  // sums are of this thread's columns
};

/// Scores (as they come from the tensor cores) become weights, not yet rounded. `factor` is what
/// the results so far have to be multiplied by.
template <typename T>
__device__ void soften(uint32_t (&scores)[64], const float (&scale)[2], RowState& state,
                       float (&factor)[2]) {
  int most[2] = {INT_MIN, INT_MIN};
#pragma unroll
  for (int i = 0; i < 64; i += 4)
#pragma unroll
    for (int h = 0; h < 2; ++h)
      most[h] = __vimax3_s32(most[h], static_cast<int>(scores[i + 2 * h]),
                             static_cast<int>(scores[i + 2 * h + 1]));
  float offset[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    most[h] = max(most[h], __shfl_xor_sync(0xffffffffu, most[h], 1));
    most[h] = max(most[h], __shfl_xor_sync(0xffffffffu, most[h], 2));
    const float largest = (__int_as_float(most[h]) - kOneAndAHalf) * scale[h];
    const float old = state.reference[h];
    if (largest > old + T::kSlack) state.reference[h] = largest;
    factor[h] = exp2_of(old - state.reference[h]);
    offset[h] = T::kShift - __fmaf_rn(kOneAndAHalf, scale[h], state.reference[h]);
    state.sum[h] *= factor[h];
  }
#pragma unroll
  for (int i = 0; i < 64; ++i) {
    const int h = i / 2 % 2;
    const float weight = exp2_of(__fmaf_rn(__uint_as_float(scores[i]), scale[h], offset[h]));
    state.sum[h] += weight;
    scores[i] = __float_as_uint(weight);
  }
}

__device__ inline void hide_missing_keys(uint32_t (&scores)[64], int keys) {
  const int first = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int i = 0; i < 64; ++i)
    if (i / 4 * 8 + first + i % 2 >= keys) scores[i] = 0xff800000u;  // -infinity, and a low integer
}

__device__ inline void round_weights(const uint32_t (&weights)[64], uint32_t (&rounded)[32]) {
#pragma unroll
  for (int i = 0; i < 32; ++i)
    rounded[i] = bf16_pair(__uint_as_float(weights[2 * i]), __uint_as_float(weights[2 * i + 1]));
}

/// The four weights of a word are those of keys 8 u + c and 8 u + c + 1 for two u and this thread's
/// c: Int8Codes::v has keys in the order in which the tensor cores take them.
__device__ inline void round_weights(const uint32_t (&weights)[64], uint32_t (&rounded)[16]) {
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const int first = i / 2 * 8 + i % 2 * 2;
    asm("{\n"
        ".reg .b16 low, high;\n"
        "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\n"
        "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
        "mov.b32 %0, {low, high};\n"
        "}\n"
        : "=r"(rounded[i])
        : "f"(__uint_as_float(weights[first])), "f"(__uint_as_float(weights[first + 1])),
          "f"(__uint_as_float(weights[first + 4])), "f"(__uint_as_float(weights[first + 5])));
  }
}

}  // namespace fluxq::cuda::attention8
