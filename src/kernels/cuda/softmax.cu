#include "kernels/cuda/check.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/cuda/softmax.h"

namespace fluxq::cuda {
namespace {

constexpr int kAtOnce = 4;                  // scores that a thread takes: 16 bytes
constexpr int kLongRow = 2048;              // from here on a row gets more threads
constexpr int64_t kCachedBytes = 96 << 10;  // a longer row is worked on where it lies

/// In every thread of the block; passes over NaN.
__device__ float block_largest(float value, WarpSlots& slots) {
  for (int offset = 16; offset > 0; offset /= 2)
    value = fmaxf(value, __shfl_xor_sync(~0u, value, offset));
  if (lane_of_thread() == 0) slots[warp_of_thread()] = value;
  __syncthreads();
  for (int warp = 0; warp < warps_of_block(); ++warp) value = fmaxf(value, slots[warp]);
  return value;
}

/// Block (query, head). Between the passes values are kept in shared memory where they fit
/// (`cached`), else in the row itself: each thread meets only its own ones until the last pass,
/// where weights, which are no longer than scores, never reach scores that are still to be read. A
/// score that the query does not see is -infinity. The row's padding is read and written too.
template <typename T>
__global__ void softmax_row(Scores scores, ScoreBias bias, bool causal, int64_t first_query,
                            bool cached) {
  extern __shared__ float4 cache[];
  __shared__ WarpSlots largest_slots, sum_slots;
  const int64_t query = blockIdx.x, head = blockIdx.y;
  float4* row =
      reinterpret_cast<float4*>(scores.data + (head * scores.queries + query) * scores.stride);
  float4* values = cached ? cache : row;
  const float* added =
      bias.data ? bias.data + head * bias.head_stride + query * bias.query_stride : nullptr;
  const int64_t seen = causal ? min(scores.keys, first_query + query + 1) : scores.keys;
  const int64_t pieces = (scores.keys + kAtOnce - 1) / kAtOnce;

  float largest = -INFINITY;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < pieces; i += blockDim.x) {
    float4 piece = row[i];
    float* score = &piece.x;
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      const int64_t key = kAtOnce * i + j;
      score[j] = key < seen ? score[j] + (added ? added[key] : 0.0f) : -INFINITY;
      largest = fmaxf(largest, score[j]);
    }
    values[i] = piece;
  }
  largest = block_largest(largest, largest_slots);

  float sum = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < pieces; i += blockDim.x) {
    float4 piece = values[i];
    float* weight = &piece.x;
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) sum += weight[j] = expf(weight[j] - largest);
    values[i] = piece;
  }
  const float inverse = 1.0f / block_sum(sum, sum_slots);

  T* weights = reinterpret_cast<T*>(row);
  for (int64_t first = 0; first < pieces; first += blockDim.x) {
    const int64_t i = first + threadIdx.x;
    const float4 piece = i < pieces ? values[i] : float4{};
    if (!cached) __syncthreads();
    if (i >= pieces) continue;
    const float* weight = &piece.x;
    alignas(kAtOnce * sizeof(T)) T rounded[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) rounded[j] = round_to<T>(weight[j] * inverse);
    if constexpr (sizeof(T) == 2)
      *reinterpret_cast<uint2*>(weights + kAtOnce * i) = *reinterpret_cast<const uint2*>(rounded);
    else
      *reinterpret_cast<float4*>(weights + kAtOnce * i) = *reinterpret_cast<const float4*>(rounded);
  }
}

template <typename T>
void launch(const Scores& scores, const ScoreBias& bias, bool causal, int64_t first_query,
            cudaStream_t stream) {
  const int64_t bytes =
      (scores.keys + kAtOnce - 1) / kAtOnce * static_cast<int64_t>(sizeof(float4));
  const bool cached = bytes <= kCachedBytes;
  check(cudaFuncSetAttribute(softmax_row<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(kCachedBytes)),
        "shared memory for softmax");
  const dim3 grid(static_cast<unsigned>(scores.queries), static_cast<unsigned>(scores.heads));
  const int threads = scores.keys < kLongRow ? 128 : 512;
  const auto shared_bytes = static_cast<size_t>(cached ? bytes : 0);
  softmax_row<T>
      <<<grid, threads, shared_bytes, stream>>>(scores, bias, causal, first_query, cached);
  check_launch("softmax");
}

}  // namespace

void softmax_rows(const Scores& scores, const ScoreBias& bias, bool causal, int64_t first_query,
                  DType weights, cudaStream_t stream) {
  if (weights == DType::bf16)
    launch<bf16>(scores, bias, causal, first_query, stream);
  else
    launch<float>(scores, bias, causal, first_query, stream);
}

}  // namespace fluxq::cuda
