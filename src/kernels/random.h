/// The counter-based generator of Kernels::fill_random: element i of a tensor depends on the key
/// and i only, in integers up to two float operations, so that every device (and tools/synthetic.py
/// in torch) gives the same bits. A value is the sum of four uniform 16-bit numbers, scaled to mean
/// 0 and variance 1: near normal, within +-3.5.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

#ifdef __CUDACC__
#define FLUXQ_HOST_DEVICE __host__ __device__
#else
#define FLUXQ_HOST_DEVICE
#endif

namespace fluxq {

/// 64 random bits: the finalizer of splitmix64 (Steele, Lea, Flood 2014) over the element's
/// counter.
FLUXQ_HOST_DEVICE inline uint64_t random_bits(uint64_t key, uint64_t index) {
  uint64_t z = key + (index + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

/// 1 / the standard deviation of the sum of four uniform integers 0..65535.
inline constexpr float kRandomUnit = 1.0f / 37837.2273f;

/// offset + sum * step, each operation rounded to f32; `step` is spread * kRandomUnit.
FLUXQ_HOST_DEVICE inline float random_value(uint64_t key, uint64_t index, float offset,
                                            float step) {
  const uint64_t bits = random_bits(key, index);
  const int32_t sum = static_cast<int32_t>((bits & 0xffff) + ((bits >> 16) & 0xffff) +
                                           ((bits >> 32) & 0xffff) + (bits >> 48)) -
                      131070;
#ifdef __CUDA_ARCH__
  return __fadd_rn(offset, __fmul_rn(static_cast<float>(sum), step));
#else
  const float product = static_cast<float>(sum) * step;
  return offset + product;
#endif
}

/// Kernels::fill_random of a tensor in host memory.
void fill_random_on_host(const Tensor& out, uint64_t key, float offset, float spread);

}  // namespace fluxq
