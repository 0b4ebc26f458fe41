/// Two values rounded and side by side in a word, that of `low` in its lower part.
#pragma once

#include <cuda_fp8.h>

#include <cstdint>

namespace fluxq::cuda {

__device__ inline uint32_t bf16_pair(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

/// In the lower half of the word. What is beyond 448 becomes 448; NaN stays.
__device__ inline uint32_t e4m3_pair(float low, float high) {
  return __nv_cvt_float2_to_fp8x2({low, high}, __NV_SATFINITE, __NV_E4M3);
}

}  // namespace fluxq::cuda
