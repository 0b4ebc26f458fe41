/// Vector loops of the CPU kernels: functions marked FLUXQ_SIMD (base/simd.h), whose loops say
/// `#pragma omp simd`. The element-wise functions below are plain float arithmetic without
/// branches, so that they vectorise; each names its error.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/simd.h"
#include "tensor/dtype.h"

namespace fluxq::cpu {

/// e^x for x in [-87, 88], where the result and its factors are normal numbers; beyond, as at the
/// nearer end. Relative error < 2.5e-7. Reduction to |r| <= ln(2) / 2 in two parts (Cody and
/// Waite), then a polynomial fitted to (e^r - 1 - r) / r^2 (Chebyshev nodes, degree 4, error 1e-8).
FLUXQ_INLINE float clamped_exp_of(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
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
  // 2^n: n's low bits, with the exponent's bias, moved to the exponent's place.
  const uint32_t power = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;
  return p * std::bit_cast<float>(power);
}

/// e^x for x <= 88, as clamped_exp_of; 0 below -87, without subnormal results; NaN of NaN.
FLUXQ_INLINE float exp_of(float x) { return x < -87.0f ? 0.0f : clamped_exp_of(x); }

/// 1 / (1 + e^-x), relative error < 4e-7; 0 below -87.
FLUXQ_INLINE float sigmoid_of(float x) {
  return x < -87.0f ? 0.0f : 1.0f / (1.0f + clamped_exp_of(-x));
}

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

/// Eight floats: one register of AVX2. (`#pragma omp simd reduction` adds up its lanes one after
/// the other in memory, which takes longer than the row.)
using Lanes = float __attribute__((vector_size(32)));

/// lanes = x[0..count), count <= 8, then `rest`.
FLUXQ_INLINE void load_lanes(const float* x, int64_t count, float rest, Lanes& lanes) {
  lanes = Lanes{} + rest;
  std::memcpy(&lanes, x, static_cast<size_t>(count) * sizeof(float));
}

/// take(total, x[i]) over the row, lane by lane in four totals (additions wait for each other),
/// then join(total, total') over totals and lanes. `start` is what leaves a total as it is.
template <typename Take, typename Join>
FLUXQ_INLINE float fold_row(const float* x, int64_t count, float start, Take take, Join join) {
  Lanes a = Lanes{} + start, b = a, c = a, d = a, part;
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    load_lanes(x + i, 8, start, part);
    take(a, part);
    load_lanes(x + i + 8, 8, start, part);
    take(b, part);
    load_lanes(x + i + 16, 8, start, part);
    take(c, part);
    load_lanes(x + i + 24, 8, start, part);
    take(d, part);
  }
  for (; i < count; i += 8) {
    load_lanes(x + i, count - i < 8 ? count - i : 8, start, part);
    take(a, part);
  }
  join(a, b);
  join(c, d);
  join(a, c);
  join(a, __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3));
  join(a, __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5));
  join(a, __builtin_shufflevector(a, a, 1, 0, 3, 2, 5, 4, 7, 6));
  return a[0];
}

FLUXQ_INLINE float sum_of(const float* x, int64_t count) {
  const auto add = [](auto& total, const auto& part) { total += part; };
  return fold_row(x, count, 0.0f, add, add);
}

FLUXQ_INLINE float sum_of_squares(const float* x, int64_t count) {
  return fold_row(
      x, count, 0.0f, [](auto& total, const auto& part) { total += part * part; },
      [](auto& total, const auto& part) { total += part; });
}

/// A NaN may be passed over; -infinity of nothing.
FLUXQ_INLINE float largest_of(const float* x, int64_t count) {
  const auto larger = [](auto& total, const auto& part) { total = part > total ? part : total; };
  return fold_row(x, count, -INFINITY, larger, larger);
}

/// `value` as T holds it.
template <typename T>
FLUXQ_INLINE float rounded_through(float value) {
  return value;
}
template <>
FLUXQ_INLINE float rounded_through<bf16>(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) & 0xffff0000;
  const uint32_t quiet_nan = (u | 0x400000) & 0xffff0000;
  return std::bit_cast<float>((u & 0x7fffffff) > 0x7f800000 ? quiet_nan : rounded);
}

}  // namespace fluxq::cpu
