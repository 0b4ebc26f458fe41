/// Vector loops of the CPU kernels: a function marked FLUXQ_SIMD is compiled three times (AVX-512,
/// AVX2, plain x86-64) and the processor's best version is chosen when the program is loaded; its
/// loops say `#pragma omp simd`. What they call must be FLUXQ_INLINE, or it is not compiled for
/// that version. The element-wise functions below are plain float arithmetic without branches, so
/// that they vectorise; each names its error.
#pragma once

#include <bit>
#include <cstdint>

#include "tensor/dtype.h"

namespace fluxq::cpu {

#if defined(FLUXQ_SANITIZED) || !defined(__x86_64__)
#define FLUXQ_SIMD  // the sanitizers' start-up code cannot stand before the loader's choice
#else
#define FLUXQ_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#define FLUXQ_INLINE __attribute__((always_inline)) inline

/// e^x, relative error < 2.5e-7 where the result is a normal number; 0, infinity and NaN as
/// std::exp. Reduction to |r| <= ln(2) / 2 in two parts (Cody and Waite), then a polynomial fitted
/// to (e^r - 1 - r) / r^2 (Chebyshev nodes, degree 4, error 1e-8).
FLUXQ_INLINE float exp_of(float x) {
  x = x < -104.0f ? -104.0f : x;           // below: 0 in any case
  x = x > 89.0f ? 89.0f : x;               // above: infinity in any case
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = x * 1.44269504f + kRounder;
  const float n = shifted - kRounder;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 0.00139337534f;
  p = p * r + 0.00836324878f;
  p = p * r + 0.041666463f;
  p = p * r + 0.166665763f;
  p = p * r + 0.5f;
  p = 1.0f + (r + r * r * p);
  // 2^n in two factors, since n may lie outside a float's exponents while the result does not.
  const int32_t exponent = std::bit_cast<int32_t>(shifted) - 0x4b400000;
  const int32_t half = exponent >> 1;
  const float first = std::bit_cast<float>(static_cast<uint32_t>(half + 127) << 23);
  const float second = std::bit_cast<float>(static_cast<uint32_t>(exponent - half + 127) << 23);
  return p * first * second;
}

/// 1 / (1 + e^-x), relative error < 4e-7.
FLUXQ_INLINE float sigmoid_of(float x) { return 1.0f / (1.0f + exp_of(-x)); }

/// 0.5 v (1 + tanh u) = v sigmoid(2 u), u = sqrt(2 / pi) (v + 0.044715 v^3): exact also where
/// 1 + tanh u cancels.
FLUXQ_INLINE float gelu_tanh_of(float v) {
  const float twice_u = 1.59576912f * (v + 0.044715f * (v * v * v));
  return v * sigmoid_of(twice_u);
}

template <typename T>
FLUXQ_INLINE float to_float(T value) {
  return static_cast<float>(value);
}
template <>
FLUXQ_INLINE float to_float(bf16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

/// `value` rounded to T (float or bf16), ties to even, NaN kept.
template <typename T>
FLUXQ_INLINE T round_to(float value) {
  return static_cast<T>(value);
}
template <>
FLUXQ_INLINE bf16 round_to(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  const uint32_t quiet_nan = (u >> 16) | 0x40;
  bf16 result;
  result.bits = static_cast<uint16_t>((u & 0x7fffffff) > 0x7f800000 ? quiet_nan : rounded);
  return result;
}

}  // namespace fluxq::cpu
