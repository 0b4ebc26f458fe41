#include "kernels/cuda/check.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/cuda/expand_s8.cuh"
#include "quant/formats/cuda_quantize.h"

namespace fluxq::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kCodes = 4;  // of a word

// A block has a row, a thread four codes of it at a time. kAligned: a row's codes are whole words.
template <bool kAligned>
__global__ void expand_kernel(Rows codes, const float* scale, Rows values) {
  const int64_t row = blockIdx.x;
  const auto* from = row_of<uint8_t>(codes, 0, row);
  auto* to = row_of<bf16>(values, 0, row);
  for (int64_t i = int64_t{threadIdx.x} * kCodes; i < codes.cols; i += kThreads * kCodes) {
    uint32_t word = 0, pairs[2];
    if constexpr (kAligned) {
      word = *reinterpret_cast<const uint32_t*>(from + i);
    } else {
      for (int64_t j = 0; j < kCodes && i + j < codes.cols; ++j)
        word |= static_cast<uint32_t>(from[i + j]) << (8 * j);
    }
    expand_s8(word, scale[row], pairs);
    if constexpr (kAligned) {
      *reinterpret_cast<uint2*>(to + i) = {pairs[0], pairs[1]};
    } else {
      for (int64_t j = 0; j < kCodes && i + j < codes.cols; ++j)
        to[i + j].bits = static_cast<uint16_t>(pairs[j / 2] >> (j % 2 * 16));
    }
  }
}

}  // namespace

void expand_rows_s8(CudaKernels& kernels, const Rows& codes, const Tensor& scale,
                    const Rows& values) {
  if (codes.dtype != DType::i8 || values.dtype != DType::bf16 || codes.batch != 1 ||
      values.batch != 1 || values.rows != codes.rows || values.cols != codes.cols ||
      scale.elements() != codes.rows)
    fail(ErrorCode::internal, "expanding s8: codes [{}, {}], {} scales, values [{}, {}]",
         codes.rows, codes.cols, scale.elements(), values.rows, values.cols);
  if (codes.rows * codes.cols == 0) return;
  const bool aligned = has_aligned_chunks(codes, kCodes) && has_aligned_chunks(values);
  const auto expand = aligned ? expand_kernel<true> : expand_kernel<false>;
  expand<<<static_cast<unsigned>(codes.rows), kThreads, 0, kernels.stream()>>>(
      codes, scale.data<float>(), values);
  check_launch("expanding s8");
}

}  // namespace fluxq::cuda
