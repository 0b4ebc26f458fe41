// sparse24-int8dq's weights: pruned and quantized in one pass, and their stored form.

#include "kernels/cuda/check.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/formats/cuda_row_codes.cuh"
#include "quant/formats/sparse24.h"

namespace fluxq::cuda {
namespace {

constexpr int kThreads = 256;

// sparse24_prune() of four values: those that two others go before are dropped.
__device__ void prune(float* x) {
  bool drop[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    int before = 0;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float theirs = fabsf(x[j]), mine = fabsf(x[i]);
      before += theirs > mine || (theirs == mine && j < i);
    }
    drop[i] = before >= 2;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (drop[i]) x[i] = 0;
}

template <bool kAligned>
__global__ void __launch_bounds__(kRowThreads)
    prune_and_quantize_kernel(const bf16* weight, Rows codes, float* scales) {
  const RowOfThread<RowForm::plain> at(codes);
  const int cols = static_cast<int>(codes.cols);
  RowPart<bf16, RowForm::plain> part;
  part.load<kAligned>(weight + at.row * codes.cols, 0, cols);
#pragma unroll
  for (int i = 0; i < kRowChunks; ++i) {
    float v[kChunk];
    part.get(i, v);
    prune(v);
    prune(v + 4);
    part.set(i, v);
  }
  __shared__ WarpSlots largest;
  const float scale = S8Encoder::scale_of(block_max(part.magnitude(), largest));
  if (threadIdx.x == 0) scales[at.row] = scale;
  store_row_codes<kAligned>(part, S8Encoder(scale, bf16{}), codes, at);
}

// Codes, kept values and metadata of a weight [out, in]. A thread has one byte of metadata: eight
// codes, or the last four of a row.
struct Stored {
  int8_t *codes, *kept;
  uint8_t* metadata;
  int64_t out, in, metadata_bytes;
};

struct TwoGroups {
  int64_t row, byte;
  int groups;  // 0 for a thread without
  __device__ explicit TwoGroups(const Stored& s) {
    const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
    row = i / s.metadata_bytes;
    byte = i % s.metadata_bytes;
    groups = row >= s.out ? 0 : static_cast<int>(min(int64_t{2}, s.in / 4 - 2 * byte));
  }
};

// sparse24_compress().
__global__ void compress_kernel(Stored s) {
  const TwoGroups at(s);
  if (at.groups == 0) return;
  uint32_t positions = 0;
  for (int group = 0; group < at.groups; ++group) {
    const int64_t index = 2 * at.byte + group;
    const int8_t* four = s.codes + at.row * s.in + index * 4;
    int first = 0;
    while (first < 2 && four[first] == 0) ++first;
    int second = 3;
    while (second > first + 1 && four[second] == 0) --second;
    int8_t* kept = s.kept + at.row * (s.in / 2) + index * 2;
    kept[0] = four[first];
    kept[1] = four[second];
    positions |= static_cast<uint32_t>(first | second << 2) << (4 * group);
  }
  s.metadata[at.row * s.metadata_bytes + at.byte] = static_cast<uint8_t>(positions);
}

// sparse24_expand().
__global__ void expand_kernel(Stored s) {
  const TwoGroups at(s);
  if (at.groups == 0) return;
  const uint32_t positions = s.metadata[at.row * s.metadata_bytes + at.byte];
  for (int group = 0; group < at.groups; ++group) {
    const int64_t index = 2 * at.byte + group;
    const int8_t* kept = s.kept + at.row * (s.in / 2) + index * 2;
    const uint32_t first = positions >> (4 * group) & 3, second = positions >> (4 * group + 2) & 3;
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i)
      s.codes[at.row * s.in + index * 4 + i] = i == second  ? kept[1]
                                               : i == first ? kept[0]
                                                            : int8_t{0};
  }
}

Stored checked(const Tensor& codes, const Tensor& qdata, const Tensor& metadata) {
  if (codes.rank() != 2 || codes.dim(1) % 4 != 0)
    fail(ErrorCode::internal, "2:4 sparsity on the GPU: expected codes [out, groups of 4], got {}",
         to_string(codes.shape()));
  const int64_t out = codes.dim(0), in = codes.dim(1);
  check_tensor("2:4 sparsity on the GPU: codes", codes, DType::i8, {out, in});
  check_tensor("2:4 sparsity on the GPU: qdata", qdata, DType::i8, {out, in / 2});
  check_tensor("2:4 sparsity on the GPU: metadata", metadata, DType::u8,
               {out, sparse24_metadata_bytes(in)});
  return {codes.data<int8_t>(),
          qdata.data<int8_t>(),
          static_cast<uint8_t*>(metadata.raw()),
          out,
          in,
          sparse24_metadata_bytes(in)};
}

unsigned blocks_of(const Stored& s) {
  return static_cast<unsigned>((s.out * s.metadata_bytes + kThreads - 1) / kThreads);
}

}  // namespace

void prune_and_quantize_s8(CudaKernels& kernels, const Tensor& weight, const Tensor& codes,
                           const Tensor& scale) {
  if (weight.rank() != 2 || weight.dim(1) % 4 != 0)
    fail(ErrorCode::internal,
         "2:4 sparsity on the GPU: expected a weight [out, groups of 4], got {}",
         to_string(weight.shape()));
  check_tensor("2:4 sparsity on the GPU: weight", weight, DType::bf16, weight.shape());
  check_tensor("2:4 sparsity on the GPU: codes", codes, DType::i8, weight.shape());
  if (scale.dtype() != DType::f32 || scale.elements() != weight.dim(0))
    check_tensor("2:4 sparsity on the GPU: scale", scale, DType::f32, {weight.dim(0)});
  check_row_cols("quantization", weight.dim(1));
  if (weight.elements() == 0) return;
  const Rows rows(codes);
  const bool aligned = has_aligned_chunks(Rows(weight)) && has_aligned_chunks(rows, kChunk);
  const auto kernel = aligned ? prune_and_quantize_kernel<true> : prune_and_quantize_kernel<false>;
  kernel<<<static_cast<unsigned>(rows.rows), row_threads(rows.cols), 0, kernels.stream()>>>(
      weight.data<bf16>(), rows, scale.data<float>());
  check_launch("pruning and quantizing");
}

void compress_sparse24(CudaKernels& kernels, const Tensor& codes, const Tensor& qdata,
                       const Tensor& metadata) {
  const Stored stored = checked(codes, qdata, metadata);
  if (codes.elements() == 0) return;
  compress_kernel<<<blocks_of(stored), kThreads, 0, kernels.stream()>>>(stored);
  check_launch("compressing 2:4 codes");
}

void expand_sparse24(CudaKernels& kernels, const Tensor& qdata, const Tensor& metadata,
                     const Tensor& codes) {
  const Stored stored = checked(codes, qdata, metadata);
  if (codes.elements() == 0) return;
  expand_kernel<<<blocks_of(stored), kThreads, 0, kernels.stream()>>>(stored);
  check_launch("expanding 2:4 codes");
}

}  // namespace fluxq::cuda
