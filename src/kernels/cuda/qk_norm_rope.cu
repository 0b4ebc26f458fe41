#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/operands.h"

namespace fluxq {
namespace {

using namespace cuda;

// ---- FLUX's heads of 128 in bf16: a block has the heads of q and of k of one token. 16 lanes with
// 8 columns each have a head, so a thread keeps the same columns, and with them its part of the
// weights and of the token's rope, through all its heads; it has all of them in flight at once.

constexpr int kDim = 128, kLanes = kDim / kChunk, kHeadsAtOnce = 3, kThreads = 256;
constexpr int kSlots = kThreads / kLanes;  // heads that a block has at a time

__global__ void __launch_bounds__(kThreads, 3)
    heads_of_128(Rows q, Rows k, const bf16* q_weight, const bf16* k_weight, const float* rope,
                 float eps) {
  const int64_t b = blockIdx.x / static_cast<unsigned>(q.rows);
  const int64_t r = blockIdx.x % static_cast<unsigned>(q.rows);
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int slot = static_cast<int>(threadIdx.x) / kLanes;
  const int heads = static_cast<int>(q.cols) / kDim;
  const int col = lane * kChunk;
  bf16* const q_row = row_of<bf16>(q, b, r) + col;
  bf16* const k_row = row_of<bf16>(k, b, r) + col;

  float angles[kChunk];  // cosine and sine of four pairs
  load_chunk<true>(rope + r * kDim + col, kChunk, angles);
  const uint4 q_weights = *reinterpret_cast<const uint4*>(q_weight + col);
  const uint4 k_weights = *reinterpret_cast<const uint4*>(k_weight + col);

  for (int first = slot; first < 2 * heads; first += kHeadsAtOnce * kSlots) {
    uint4 packed[kHeadsAtOnce] = {};
    bf16* at[kHeadsAtOnce];
#pragma unroll
    for (int i = 0; i < kHeadsAtOnce; ++i) {
      const int head = first + i * kSlots;
      at[i] = head < heads ? q_row + head * kDim : k_row + (head - heads) * kDim;
      if (head < 2 * heads) packed[i] = *reinterpret_cast<const uint4*>(at[i]);
    }
#pragma unroll
    for (int i = 0; i < kHeadsAtOnce; ++i) {
      const int head = first + i * kSlots;
      float v[kChunk], weight[kChunk];
      unpack_bf16(packed[i], v);
      unpack_bf16(head < heads ? q_weights : k_weights, weight);
      float squares = 0;
#pragma unroll
      for (int j = 0; j < kChunk; ++j) squares += v[j] * v[j];
#pragma unroll
      for (int offset = kLanes / 2; offset > 0; offset /= 2)
        squares += __shfl_xor_sync(0xffffffffu, squares, offset);
      const float inverse = 1.0f / sqrtf(squares / kDim + eps);
#pragma unroll
      for (int j = 0; j < kChunk; ++j) v[j] = rounded_through<bf16>(v[j] * inverse * weight[j]);
#pragma unroll
      for (int j = 0; j < kChunk; j += 2) rotate(v[j], v[j + 1], angles[j], angles[j + 1]);
      if (head < 2 * heads) *reinterpret_cast<uint4*>(at[i]) = packed_bf16(v);
    }
  }
}

// ---- any other: one warp per head, element by element.

template <typename T>
__global__ void heads_of_any_size(Rows q, Rows k, const T* q_weight, const T* k_weight,
                                  const float* rope, int dim, float eps) {
  const int64_t heads = q.cols / dim, all_heads = q.batch * q.rows * heads * 2;
  const int64_t i = int64_t{blockIdx.x} * warps_of_block() + warp_of_thread();
  if (i >= all_heads) return;
  const bool is_k = i % 2 != 0;
  const int64_t head = i / 2 % heads, r = i / 2 / heads % q.rows, b = i / 2 / heads / q.rows;
  T* x = (is_k ? row_of<T>(k, b, r) : row_of<T>(q, b, r)) + head * dim;
  const T* weight = is_k ? k_weight : q_weight;
  float squares = 0;
  for (int j = lane_of_thread(); j < dim; j += 32) squares += to_float(x[j]) * to_float(x[j]);
  const float inverse = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(dim) + eps);
  for (int j = 2 * lane_of_thread(); j < dim; j += 64) {
    float even = rounded_through<T>(to_float(x[j]) * inverse * to_float(weight[j]));
    float odd = rounded_through<T>(to_float(x[j + 1]) * inverse * to_float(weight[j + 1]));
    rotate(even, odd, rope[r * dim + j], rope[r * dim + j + 1]);
    x[j] = round_to<T>(even);
    x[j + 1] = round_to<T>(odd);
  }
}

template <typename T>
void run_any(cudaStream_t stream, const Rows& q, const Rows& k, const Tensor& q_weight,
             const Tensor& k_weight, const Tensor& rope, float eps) {
  const int64_t dim = q_weight.dim(0), all_heads = q.batch * q.rows * (q.cols / dim) * 2;
  const int64_t heads_per_block = kThreads / 32;
  heads_of_any_size<T><<<static_cast<unsigned>((all_heads + heads_per_block - 1) / heads_per_block),
                         kThreads, 0, stream>>>(q, k, q_weight.data<T>(), k_weight.data<T>(),
                                                rope.data<float>(), static_cast<int>(dim), eps);
}

}  // namespace

void CudaKernels::qk_norm_rope(const Rows& q, const Rows& k, const Tensor& q_weight,
                               const Tensor& k_weight, const Tensor& rope, float eps) {
  check_qk_norm_rope(q, k, q_weight, k_weight, rope);
  if (q.batch * q.rows * q.cols == 0) return;
  const bool aligned = has_aligned_chunks(q) && has_aligned_chunks(k) &&
                       has_aligned_chunks(q_weight) && has_aligned_chunks(k_weight) &&
                       has_aligned_chunks(rope);
  if (q.dtype == DType::bf16 && q_weight.dim(0) == kDim && aligned)
    heads_of_128<<<static_cast<unsigned>(q.batch * q.rows), kThreads, 0, stream_>>>(
        q, k, q_weight.data<bf16>(), k_weight.data<bf16>(), rope.data<float>(), eps);
  else if (q.dtype == DType::bf16)
    run_any<bf16>(stream_, q, k, q_weight, k_weight, rope, eps);
  else
    run_any<float>(stream_, q, k, q_weight, k_weight, rope, eps);
  check_launch("qk_norm_rope");
}

}  // namespace fluxq
