/// What the GPU's kernels have in common: elements and eight of them at once, activations, and
/// reductions over a block in an order that depends on its size only. Where a product and a sum
/// meet, the intrinsics say whether they are fused, so that all kernels that compute a value get
/// the same bits.
#pragma once

#include <cuda_bf16.h>

#include "kernels/kernels.h"

namespace fluxq::cuda {

/// Elements that a thread takes at once: 16 bytes of bf16.
inline constexpr int kChunk = 8;

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(bf16 value) {
  return __uint_as_float(static_cast<uint32_t>(value.bits) << 16);
}

/// 1.5 * 2^23: whole numbers of less than 2^22 that are added to it stand in its lowest bits.
inline constexpr float kOneAndAHalf = 12582912.0f;

/// `value` rounded to T (float or bf16), ties to even, NaN kept.
template <typename T>
__device__ T round_to(float value);
template <>
__device__ inline float round_to<float>(float value) {
  return value;
}
template <>
__device__ inline bf16 round_to<bf16>(float value) {
  bf16 result;
  result.bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
  return result;
}

/// `value` as T holds it.
template <typename T>
__device__ float rounded_through(float value) {
  return to_float(round_to<T>(value));
}

/// First element of a row, as Rows::row.
template <typename T>
__device__ T* row_of(const Rows& rows, int64_t batch, int64_t row) {
  return static_cast<T*>(rows.data) + batch * rows.batch_stride + row * rows.row_stride;
}

/// Element i of memory of f32 or bf16, for operations that are too small to be worth a template.
__device__ inline float load_as_float(const void* data, DType dtype, int64_t i) {
  return dtype == DType::bf16 ? to_float(static_cast<const bf16*>(data)[i])
                              : static_cast<const float*>(data)[i];
}
__device__ inline void store_rounded(void* data, DType dtype, int64_t i, float value) {
  if (dtype == DType::bf16)
    static_cast<bf16*>(data)[i] = round_to<bf16>(value);
  else
    static_cast<float*>(data)[i] = value;
}

// ---- eight elements at once

/// Eight values of bf16 from where they lie side by side, and back.
__device__ inline void unpack_bf16(uint4 words, float (&values)[kChunk]) {
  const uint32_t pairs[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = __uint_as_float(pairs[i] << 16);
    values[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
  }
}
__device__ inline uint4 packed_bf16(const float (&values)[kChunk]) {
  uint32_t pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(values[2 * i], values[2 * i + 1]);
    pairs[i] = static_cast<uint32_t>(__bfloat16_as_ushort(pair.x)) |
               static_cast<uint32_t>(__bfloat16_as_ushort(pair.y)) << 16;
  }
  return {pairs[0], pairs[1], pairs[2], pairs[3]};
}

/// values = from[0..8), of which `count` exist (may be <= 0); the others are 0. kAligned: `from` is
/// 16-byte aligned and a chunk exists as a whole or not at all.
template <bool kAligned, typename T>
__device__ void load_chunk(const T* from, int64_t count, float (&values)[kChunk]) {
  if constexpr (kAligned && sizeof(T) == 2) {
    unpack_bf16(count > 0 ? *reinterpret_cast<const uint4*>(from) : uint4{0, 0, 0, 0}, values);
  } else if constexpr (kAligned) {
    const float4 zero = {0, 0, 0, 0};
    const auto* halves = reinterpret_cast<const float4*>(from);
    const float4 low = count > 0 ? halves[0] : zero, high = count > 0 ? halves[1] : zero;
    values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w;
    values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
  } else {
#pragma unroll
    for (int i = 0; i < kChunk; ++i) values[i] = i < count ? to_float(from[i]) : 0.0f;
  }
}

/// to[0..count) = values rounded to T, the counterpart of load_chunk.
template <bool kAligned, typename T>
__device__ void store_chunk(const float (&values)[kChunk], int64_t count, T* to) {
  if constexpr (kAligned && sizeof(T) == 2) {
    if (count > 0) *reinterpret_cast<uint4*>(to) = packed_bf16(values);
  } else if constexpr (kAligned) {
    auto* halves = reinterpret_cast<float4*>(to);
    if (count > 0) {
      halves[0] = float4{values[0], values[1], values[2], values[3]};
      halves[1] = float4{values[4], values[5], values[6], values[7]};
    }
  } else {
#pragma unroll
    for (int i = 0; i < kChunk; ++i)
      if (i < count) to[i] = round_to<T>(values[i]);
  }
}

/// Whether every row starts at a multiple of 16 bytes (of `alignment`) and ends with a whole chunk.
inline bool has_aligned_chunks(const Rows& rows, int64_t alignment = 16) {
  return rows.empty() || (rows.aligned_to(alignment) && rows.cols % kChunk == 0);
}
inline bool has_aligned_chunks(const Tensor& vector) {
  return reinterpret_cast<uintptr_t>(vector.raw()) % 16 == 0 && vector.elements() % kChunk == 0;
}

// ---- activations

/// 1 / (1 + e^-v) without overflow for any v. T is the stream's dtype: for bf16 the exponential and
/// the division may be off by 1e-5 of the result, a hundredth of its rounding.
template <typename T>
__device__ float sigmoid(float v) {
  if constexpr (sizeof(T) == 2) {
    return v < -87.0f ? 0.0f : __fdividef(1.0f, 1.0f + __expf(-v));
  } else {
    const float e = expf(-fabsf(v));
    return (v < 0 ? e : 1.0f) / (1.0f + e);
  }
}

template <typename T>
__device__ float activate(Act act, float v) {
  switch (act) {
    case Act::none:
      return v;
    case Act::gelu_tanh:  // (1 + tanh u) / 2 = sigmoid(2 u)
      return v * sigmoid<T>(1.59576912f * __fmaf_rn(0.044715f, v * v * v, v));
    case Act::gelu_erf:
      return 0.5f * v * erfcf(-0.707106781f * v);
    case Act::quick_gelu:
      return v * sigmoid<T>(1.702f * v);
    case Act::relu:
      return v < 0.0f ? 0.0f : v;
    case Act::silu:
      return v * sigmoid<T>(v);
  }
  return v;
}

// ---- rope

/// A pair of columns rotated by an angle.
__device__ inline void rotate(float& even, float& odd, float cosine, float sine) {
  const float e = even, o = odd;
  even = __fmaf_rn(e, cosine, -__fmul_rn(o, sine));
  odd = __fmaf_rn(o, cosine, __fmul_rn(e, sine));
}

// ---- reductions over a block whose threads all take part; every thread gets the result

/// One number of each warp of a block. A kernel has one such array for each of its reductions.
using WarpSlots = float[32];

__device__ inline int lane_of_thread() { return static_cast<int>(threadIdx.x % 32); }
__device__ inline int warp_of_thread() { return static_cast<int>(threadIdx.x / 32); }
__device__ inline int warps_of_block() { return static_cast<int>(blockDim.x / 32); }

__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

__device__ inline float block_sum(float value, WarpSlots& slots) {
  value = warp_sum(value);
  if (lane_of_thread() == 0) slots[warp_of_thread()] = value;
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < warps_of_block(); ++warp) sum += slots[warp];
  return sum;
}

/// The largest of magnitudes given as bit patterns: NaN and infinity are above all numbers.
__device__ inline uint32_t block_max(uint32_t bits, WarpSlots& slots) {
  bits = __reduce_max_sync(0xffffffffu, bits);
  if (lane_of_thread() == 0) slots[warp_of_thread()] = __uint_as_float(bits);
  __syncthreads();
  for (int warp = 0; warp < warps_of_block(); ++warp)
    bits = max(bits, __float_as_uint(slots[warp]));
  return bits;
}

}  // namespace fluxq::cuda
