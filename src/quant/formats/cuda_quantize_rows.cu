// One scale per row: the row is computed, its largest magnitude found and its codes written without
// leaving the registers.

#include "kernels/cuda/check.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/formats/cuda_row_codes.cuh"

namespace fluxq::cuda {
namespace {

template <typename Encoder, typename T, bool kAligned, RowForm kForm>
__global__ void __launch_bounds__(kFormThreads<kForm>, kFormBlocks<kAligned, kForm>)
    quantize_rows_kernel(RowSource source, Rows codes, float* scales) {
  const RowOfThread<kForm> at(codes);
  if (at.outside) return;
  RowPart<T, kForm> part;
  produce_row<T, kAligned, kForm>(source, at.batch, at.row, 0, part);
  __shared__ WarpSlots largest;
  const float scale = Encoder::scale_of(max_of_row<kForm>(part.magnitude(), largest));
  if (at.first_thread) scales[at.index] = scale;
  store_row_codes<kAligned>(part, Encoder(scale, T{}), codes, at);
}

template <typename Encoder>
void quantize_rows(CudaKernels& kernels, const Producer& input, const Rows& codes, float* scale) {
  check_codes(input, codes);
  if (codes.batch * codes.rows * codes.cols == 0) return;
  with_row_type(input, has_aligned_codes(input, codes), [&](auto type, auto chunks, auto form) {
    constexpr RowForm kForm = decltype(form)::value;
    const GridOfRows grid = grid_of_rows<kForm>(codes);
    quantize_rows_kernel<Encoder, decltype(type), decltype(chunks)::value, kForm>
        <<<grid.blocks, grid.threads, 0, kernels.stream()>>>(RowSource(input), codes, scale);
  });
  check_launch("quantizing rows");
}

}  // namespace

void quantize_rows_s8(CudaKernels& kernels, const Producer& input, const Rows& codes,
                      float* scale) {
  quantize_rows<S8Encoder>(kernels, input, codes, scale);
}

void quantize_rows_e4m3(CudaKernels& kernels, const Producer& input, const Rows& codes,
                        float* scale) {
  quantize_rows<E4m3Encoder>(kernels, input, codes, scale);
}

}  // namespace fluxq::cuda
