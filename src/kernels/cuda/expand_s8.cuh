/// Weights of 8 bits as the bf16 that is multiplied.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace fluxq::cuda {

/// Four codes of s8 times a scale, rounded to bf16: `to` has two words of two values.
__device__ inline void expand_s8(uint32_t codes, float scale, uint32_t* to) {
  // 2^23 + u, u a code + 128, differs from its float's bits 0x4b000000 in the lowest byte only.
  const uint32_t shifted = codes ^ 0x80808080u;
  const auto value = [&](uint32_t selector) {
    const float sum = __uint_as_float(__byte_perm(shifted, 0x4b000000u, selector));
    return __fmul_rn(__fadd_rn(sum, -(0x1p23f + 128.0f)), scale);
  };
  const auto pair = [&](float low, float high) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return static_cast<uint32_t>(__bfloat16_as_ushort(both.x)) |
           static_cast<uint32_t>(__bfloat16_as_ushort(both.y)) << 16;
  };
  to[0] = pair(value(0x7440), value(0x7441));
  to[1] = pair(value(0x7442), value(0x7443));
}

}  // namespace fluxq::cuda
