/// How the codes of attention_int8.h come about, wherever they are made.
#pragma once

#include "kernels/cuda/hadamard.cuh"
#include "kernels/cuda/rounded_pair.cuh"

namespace fluxq::cuda {

/// Makes hadamard_128() orthonormal: 1 / sqrt(128).
inline constexpr float kHadamardNorm = 0.0883883476f;
inline constexpr float kLargestCode = 127;

/// The largest magnitude as bits: NaN and infinity are above all numbers.
__device__ inline uint32_t magnitude_bits(const float (&v)[kChunk]) {
  uint32_t bits = 0;
#pragma unroll
  for (int j = 0; j < kChunk; ++j) bits = max(bits, __float_as_uint(v[j]) & 0x7fffffffu);
  return bits;
}

/// The largest code stands for `largest`; a tile of zeros has any scale.
__device__ inline float scale_for(float largest) {
  return largest > 0 || isnan(largest) ? largest * (1 / kLargestCode) : 1.0f;
}

/// v * inverse rounded to whole numbers below 128: the lowest bytes of sums, which takes no
/// conversion.
__device__ inline uint2 codes_of(const float (&v)[kChunk], float inverse) {
  uint32_t pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    pairs[i] = __byte_perm(__float_as_uint(fmaf(v[2 * i], inverse, kOneAndAHalf)),
                           __float_as_uint(fmaf(v[2 * i + 1], inverse, kOneAndAHalf)), 0x0040);
  }
  return {__byte_perm(pairs[0], pairs[1], 0x5410), __byte_perm(pairs[2], pairs[3], 0x5410)};
}

}  // namespace fluxq::cuda
