#include "kernels/cuda/attention_codes.h"

#include <cuda_fp8.h>

#include "kernels/cuda/check.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/cuda/hadamard.cuh"

namespace fluxq::cuda {
namespace {

// A block has a token; 16 lanes with 8 columns each have a head. As in qk_norm_rope.cu, a thread
// keeps its columns, and with them its part of the weights and of the rope.
constexpr int kDim = kCodedDim, kLanes = kHadamardLanes, kThreads = 256;
constexpr int kSlots = kThreads / kLanes, kHeadsAtOnce = 3;

constexpr int kSampledRows = 256;
constexpr float kSampleLimit = 448.0f / 8;  // the code of the largest value of a sample

/// Largest magnitude of each column among rows spread over all of v; a block per head and batch.
__global__ void __launch_bounds__(kThreads) sample_columns(Rows v, float* scale) {
  __shared__ float largest[kSlots][kDim];
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int slot = static_cast<int>(threadIdx.x) / kLanes;
  const int64_t col = int64_t{blockIdx.x} * kDim + lane * kChunk;
  constexpr int kRows = kSampledRows / kSlots;
  uint4 packed[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const int64_t row = (i * kSlots + slot) * v.rows / kSampledRows;
    packed[i] = *reinterpret_cast<const uint4*>(row_of<bf16>(v, blockIdx.y, row) + col);
  }
  float most[kChunk] = {};
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    float values[kChunk];
    unpack_bf16(packed[i], values);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) most[j] = fmaxf(most[j], fabsf(values[j]));
  }
#pragma unroll
  for (int j = 0; j < kChunk; ++j) largest[slot][lane * kChunk + j] = most[j];
  __syncthreads();
  if (threadIdx.x >= kDim) return;
  float all = 0;
  for (int i = 0; i < kSlots; ++i) all = fmaxf(all, largest[i][threadIdx.x]);
  scale[(int64_t{blockIdx.y} * gridDim.x + blockIdx.x) * kDim + threadIdx.x] =
      all > 0 && isfinite(all) ? kSampleLimit / all : 1.0f;
}

__device__ uint2 encoded(const float (&v)[kChunk]) {
  uint32_t pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    pairs[i] = __nv_cvt_float2_to_fp8x2({v[2 * i], v[2 * i + 1]}, __NV_SATFINITE, __NV_E4M3);
  return {pairs[0] | pairs[1] << 16, pairs[2] | pairs[3] << 16};
}

/// `codes` are those of the batch's first matrix from the stream's first row on.
__global__ void __launch_bounds__(kThreads, 3)
    encode_rows(Rows q, Rows k, Rows v, const bf16* q_weight, const bf16* k_weight,
                const float* rope, const float* value_scale, float eps, uint8_t* codes,
                int64_t codes_batch_stride) {
  const int64_t b = blockIdx.y, r = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int slot = static_cast<int>(threadIdx.x) / kLanes;
  const int heads = static_cast<int>(q.cols) / kDim;
  const int col = lane * kChunk;
  const bf16* const q_row = row_of<bf16>(q, b, r) + col;
  const bf16* const k_row = row_of<bf16>(k, b, r) + col;
  const bf16* const v_row = row_of<bf16>(v, b, r) + col;
  uint8_t* const code_row = codes + b * codes_batch_stride + r * 3 * q.cols + col;

  float angles[kChunk];  // cosine and sine of four pairs
  load_chunk<true>(rope + r * kDim + col, kChunk, angles);
  const uint4 q_weights = *reinterpret_cast<const uint4*>(q_weight + col);
  const uint4 k_weights = *reinterpret_cast<const uint4*>(k_weight + col);

  for (int first = slot; first < 2 * heads; first += kHeadsAtOnce * kSlots) {
    uint4 packed[kHeadsAtOnce] = {};
#pragma unroll
    for (int i = 0; i < kHeadsAtOnce; ++i) {
      const int head = first + i * kSlots;
      const bf16* from = head < heads ? q_row + head * kDim : k_row + (head - heads) * kDim;
      if (head < 2 * heads) packed[i] = *reinterpret_cast<const uint4*>(from);
    }
#pragma unroll
    for (int i = 0; i < kHeadsAtOnce; ++i) {
      const int head = first + i * kSlots;
      float values[kChunk], weight[kChunk];
      unpack_bf16(packed[i], values);
      unpack_bf16(head < heads ? q_weights : k_weights, weight);
      float squares = 0;
#pragma unroll
      for (int j = 0; j < kChunk; ++j) squares += values[j] * values[j];
#pragma unroll
      for (int offset = kLanes / 2; offset > 0; offset /= 2)
        squares += __shfl_xor_sync(kWholeWarp, squares, offset);
      constexpr float kNorm = kQueryKeyScale * 0.0883883476f;  // 1 / sqrt(128) for the transform
      const float inverse = kNorm / sqrtf(squares / kDim + eps);
#pragma unroll
      for (int j = 0; j < kChunk; ++j) values[j] *= inverse * weight[j];
#pragma unroll
      for (int j = 0; j < kChunk; j += 2)
        rotate(values[j], values[j + 1], angles[j], angles[j + 1]);
      hadamard_128(values, lane);
      if (head < 2 * heads)
        *reinterpret_cast<uint2*>(code_row + int64_t{head} * kDim) = encoded(values);
    }
  }

  const float* const scales = value_scale + b * v.cols + col;
  for (int head = slot; head < heads; head += kSlots) {
    float values[kChunk], scale[kChunk];
    unpack_bf16(*reinterpret_cast<const uint4*>(v_row + head * kDim), values);
    load_chunk<true>(scales + head * kDim, kChunk, scale);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) values[j] *= scale[j];
    *reinterpret_cast<uint2*>(code_row + int64_t{2 * heads + head} * kDim) = encoded(values);
  }
}

__global__ void __launch_bounds__(kThreads)
    decode_rows(const uint8_t* results, const float* value_scale, Rows out) {
  const int64_t b = blockIdx.y, r = blockIdx.x;
  const uint8_t* from = results + (b * out.rows + r) * out.cols;
  const float* scales = value_scale + b * out.cols;
  bf16* to = row_of<bf16>(out, b, r);
  for (int64_t col = threadIdx.x * kChunk; col < out.cols; col += kThreads * kChunk) {
    const uint2 codes = *reinterpret_cast<const uint2*>(from + col);
    float scale[kChunk], values[kChunk];
    load_chunk<true>(scales + col, kChunk, scale);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      __nv_fp8_e4m3 code;
      code.__x = static_cast<uint8_t>((i < 4 ? codes.x : codes.y) >> i % 4 * 8);
      values[i] = __fdividef(static_cast<float>(code), scale[i]);
    }
    store_chunk<true>(values, kChunk, to + col);
  }
}

dim3 grid_of(const Rows& rows) {
  return {static_cast<unsigned>(rows.rows), static_cast<unsigned>(rows.batch)};
}

}  // namespace

AttentionCodes take_attention_codes(CudaKernels& kernels, int64_t batch, int64_t rows,
                                    int64_t heads) {
  Arena& arena = kernels.arena();
  return {.qkv = arena.take(DType::f8_e4m3, {batch, rows, 3, heads, kCodedDim}),
          .value_scale = arena.take(DType::f32, {batch, heads * kCodedDim})};
}

void choose_value_scales(CudaKernels& kernels, const Rows& v, const AttentionCodes& codes) {
  const dim3 grid = {static_cast<unsigned>(v.cols / kDim), static_cast<unsigned>(v.batch)};
  sample_columns<<<grid, kThreads, 0, kernels.stream()>>>(v, codes.value_scale.data<float>());
  check_launch("choose_value_scales");
}

void encode_attention(CudaKernels& kernels, const CodedStream& s, int64_t first,
                      const AttentionCodes& codes) {
  if (s.q.rows == 0) return;
  const int64_t row_bytes = 3 * s.q.cols;
  encode_rows<<<grid_of(s.q), kThreads, 0, kernels.stream()>>>(
      s.q, s.k, s.v, s.q_weight.data<bf16>(), s.k_weight.data<bf16>(), s.rope.data<float>(),
      codes.value_scale.data<float>(), s.eps,
      static_cast<uint8_t*>(codes.qkv.raw()) + first * row_bytes, codes.qkv.dim(1) * row_bytes);
  check_launch("encode_attention");
}

void decode_attention(CudaKernels& kernels, const Tensor& results, const Tensor& value_scale,
                      const Rows& out) {
  decode_rows<<<grid_of(out), kThreads, 0, kernels.stream()>>>(
      static_cast<const uint8_t*>(results.raw()), value_scale.data<float>(), out);
  check_launch("decode_attention");
}

bool suits_attention_codes(const Rows& rows) {
  return rows.dtype == DType::bf16 && rows.cols % kDim == 0 && has_aligned_chunks(rows);
}

}  // namespace fluxq::cuda
