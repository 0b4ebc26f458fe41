/// The orthonormal transform that spreads a head's few large columns over all of them.
#pragma once

#include "kernels/cuda/device_values.cuh"

namespace fluxq::cuda {

/// Lanes that share a head of 128 columns, a chunk each.
inline constexpr int kHadamardLanes = 16;
inline constexpr unsigned kWholeWarp = 0xffffffffu;

__device__ inline void sum_and_difference(float& a, float& b) {
  const float sum = a + b, difference = a - b;
  a = sum;
  b = difference;
}

/// A Hadamard transform of the head that 16 lanes have, times sqrt(128), its columns in some order
/// (the same for q and k). Across lanes, two of them exchange halves of what they have, so that
/// each has whole pairs.
__device__ inline void hadamard_128(float (&v)[kChunk], int lane) {
#pragma unroll
  for (int step = 1; step < kChunk; step *= 2)
#pragma unroll
    for (int j = 0; j < kChunk; ++j)
      if ((j & step) == 0) sum_and_difference(v[j], v[j + step]);
#pragma unroll
  for (int step = 1; step < kHadamardLanes; step *= 2) {
    const bool upper = (lane & step) != 0;
#pragma unroll
    for (int j = 0; j < kChunk / 2; ++j) {
      float& kept = v[j];
      float& other = v[j + kChunk / 2];
      const float received = __shfl_xor_sync(kWholeWarp, upper ? kept : other, step);
      if (upper)
        kept = received;
      else
        other = received;
      sum_and_difference(kept, other);
    }
  }
}

}  // namespace fluxq::cuda
