/// The host's scales and codes (s8.h, e4m3.h) on the GPU, the same bits: every operation is rounded
/// as there, none is fused.
#pragma once

#include "kernels/cuda/device_values.cuh"
#include "kernels/cuda/rounded_pair.cuh"
#include "quant/formats/e4m3.h"

namespace fluxq::cuda {

inline constexpr uint32_t kInfinityBits = 0x7f800000;
__device__ inline float quiet_nan() { return __uint_as_float(0x7fc00000); }
__device__ inline float inverse_of(float scale) { return __fdiv_rn(1.0f, scale); }

/// Eight codes of a row or matrix with one scale; the scale NaN gives codes 0.
class S8Encoder {
 public:
  /// s8_scale() of the magnitude with these bits.
  __device__ static float scale_of(uint32_t amax) {
    if (amax >= kInfinityBits) return quiet_nan();
    const float scale = rounded_through<bf16>(__fdiv_rn(__uint_as_float(amax), 127.5f));
    return fmaxf(scale, 0x1p-23f);
  }
  template <typename T>
  __device__ S8Encoder(float scale, T /*stream*/)
      : largest_(isnan(scale) ? 0x80008000 : 0x007f007f), inverse_(inverse_of(scale)) {}

  __device__ uint2 operator()(const float (&v)[kChunk]) const { return {four(v), four(v + 4)}; }

 private:
  // Next to kOneAndAHalf floats are 1 apart, so the addition rounds and leaves the code in the low
  // half. The scale is a magnitude / 127.5 rounded to 8 bits, so steps stay within 127.75: only the
  // code 128 does not exist.
  __device__ uint32_t code(float value) const {
    return __float_as_uint(__fadd_rn(__fmul_rn(value, inverse_), kOneAndAHalf));
  }
  __device__ uint32_t four(const float* v) const {
    const uint32_t low = __vmins2(__byte_perm(code(v[0]), code(v[1]), 0x5410), largest_);
    const uint32_t high = __vmins2(__byte_perm(code(v[2]), code(v[3]), 0x5410), largest_);
    return __byte_perm(low, high, 0x6420);
  }

  // Twice the largest code in 16 bits; without a scale the smallest number, whose low half is 0: no
  // branch, so that all chunks of a row are computed side by side.
  uint32_t largest_;
  float inverse_;
};

class E4m3Encoder {
 public:
  /// e4m3_scale() of the magnitude with these bits.
  __device__ static float scale_of(uint32_t amax) {
    if (amax >= kInfinityBits) return quiet_nan();
    const float scale = rounded_through<bf16>(__fdiv_rn(__uint_as_float(amax), kE4m3Max));
    return scale > 0 ? scale : 1.0f;
  }
  /// For values of the type T.
  template <typename T>
  __device__ E4m3Encoder(float scale, T /*stream*/)
      : by_inverse_(sizeof(T) == 2),
        valid_(isnan(scale) ? 0 : ~0u),
        lift_(by_inverse_ && scale < 0x1p-100f ? 0x1p100f : 1.0f),
        scale_(scale * lift_),
        inverse_(inverse_of(scale_)) {}

  __device__ uint2 operator()(const float (&v)[kChunk]) const {
    const uint2 codes = by_inverse_
                            ? eight(v, [this](float value) { return near_quotient(value); })
                            : eight(v, [this](float value) { return __fdiv_rn(value, scale_); });
    return {codes.x & valid_, codes.y & valid_};
  }

 private:
  // value / scale, right to 2^-22 and exact where the quotient is a float: as good as the rounded
  // quotient, because value and scale are bf16. A quotient of two 8-bit significands is a tie
  // between two codes (a 5-bit significand) or at least 2^-13 away from all of them. Tiny values
  // are lifted, exactly, to where the rest of the division is a float. What is computed is the
  // rest's negative, so that -0 stays -0.
  __device__ float near_quotient(float value) const {
    const float lifted = __fmul_rn(value, lift_);
    const float quotient = __fmul_rn(lifted, inverse_);
    const float excess = __fmaf_rn(quotient, scale_, -lifted);
    return __fmaf_rn(-excess, inverse_, quotient);
  }
  template <typename Divide>
  __device__ static uint2 eight(const float (&v)[kChunk], const Divide& divide) {
    uint32_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = e4m3_pair(divide(v[2 * i]), divide(v[2 * i + 1]));
    return {pairs[0] | pairs[1] << 16, pairs[2] | pairs[3] << 16};
  }

  bool by_inverse_;  // known when compiled
  uint32_t valid_;   // all bits of the codes, or none
  float lift_, scale_, inverse_;
};

/// The first `count` of eight codes; kAligned: all or none, `to` 8-byte aligned.
template <bool kAligned>
__device__ void store_codes(uint2 codes, int64_t count, uint8_t* to) {
  if constexpr (kAligned) {
    if (count > 0) *reinterpret_cast<uint2*>(to) = codes;
  } else {
    const uint64_t bits = codes.x | static_cast<uint64_t>(codes.y) << 32;
#pragma unroll
    for (int i = 0; i < kChunk; ++i)
      if (i < count) to[i] = static_cast<uint8_t>(bits >> (8 * i));
  }
}

}  // namespace fluxq::cuda
