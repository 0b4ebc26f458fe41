// One scale per matrix of the batch: a first pass finds its largest magnitude, a second one
// computes the rows again and writes their codes.

#include "kernels/cuda/check.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/formats/cuda_row_codes.cuh"

namespace fluxq::cuda {
namespace {

// largest [batch], 0 before: the bits of the largest magnitude. A maximum does not depend on the
// order; most rows need not change it and only read.
template <typename T, bool kAligned, RowForm kForm>
__global__ void __launch_bounds__(kFormThreads<kForm>, kFormBlocks<kAligned, kForm>)
    find_largest(RowSource source, uint32_t* largest) {
  const RowOfThread<kForm> at(source.x);
  if (at.outside) return;
  RowPart<T, kForm> part;
  produce_row<T, kAligned, kForm>(source, at.batch, at.row, 0, part);
  __shared__ WarpSlots slots;
  const uint32_t bits = max_of_row<kForm>(part.magnitude(), slots);
  uint32_t* of_batch = largest + at.batch;
  if (at.first_thread && bits > *static_cast<volatile uint32_t*>(of_batch))
    atomicMax(of_batch, bits);
}

template <typename T, bool kAligned, RowForm kForm>
__global__ void __launch_bounds__(kFormThreads<kForm>, kFormBlocks<kAligned, kForm>)
    encode_rows(RowSource source, const uint32_t* largest, Rows codes, float* scales) {
  const RowOfThread<kForm> at(codes);
  if (at.outside) return;
  RowPart<T, kForm> part;
  produce_row<T, kAligned, kForm>(source, at.batch, at.row, 0, part);
  const float scale = E4m3Encoder::scale_of(largest[at.batch]);
  if (at.first_thread && at.row == 0) scales[at.batch] = scale;
  store_row_codes<kAligned>(part, E4m3Encoder(scale, T{}), codes, at);
}

}  // namespace

void quantize_samples_e4m3(CudaKernels& kernels, const Producer& input, const Rows& codes,
                           float* scale) {
  check_codes(input, codes);
  if (codes.batch * codes.rows * codes.cols == 0) return;
  const Arena::Scope scope(kernels.arena());
  const Tensor largest = kernels.arena().take(DType::u32, {codes.batch});
  check(cudaMemsetAsync(largest.raw(), 0, static_cast<size_t>(largest.bytes()), kernels.stream()),
        "clearing memory");
  auto* bits = static_cast<uint32_t*>(largest.raw());
  with_row_type(input, has_aligned_codes(input, codes), [&](auto type, auto chunks, auto form) {
    using T = decltype(type);
    constexpr bool kAligned = decltype(chunks)::value;
    constexpr RowForm kForm = decltype(form)::value;
    const RowSource source(input);
    const auto [blocks, threads] = grid_of_rows<kForm>(codes);
    find_largest<T, kAligned, kForm><<<blocks, threads, 0, kernels.stream()>>>(source, bits);
    encode_rows<T, kAligned, kForm>
        <<<blocks, threads, 0, kernels.stream()>>>(source, bits, codes, scale);
  });
  check_launch("quantizing a matrix");
}

}  // namespace fluxq::cuda
