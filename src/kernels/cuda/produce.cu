#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/row_producer.cuh"
#include "kernels/operands.h"

namespace fluxq {
namespace {

using namespace cuda;

// What a block has of a row that needs no sum may be a part of it, the one of blockIdx.y.
template <typename T, bool kAligned, RowForm kForm, typename Out>
__global__ void __launch_bounds__(kFormThreads<kForm>, kFormBlocks<kAligned, kForm>)
    produce_kernel(RowSource source, Rows out) {
  using Part = RowPart<T, kForm>;
  const RowOfThread<kForm> at(out);
  if (at.outside) return;
  const int first = static_cast<int>(blockIdx.y * blockDim.x) * kRowChunks * kChunk;
  Part part;
  produce_row<T, kAligned, kForm>(source, at.batch, at.row, first, part);
  const int cols = Part::cols_of(out);
  Out* to = row_of<Out>(out, at.batch, at.row);
#pragma unroll
  for (int i = 0; i < Part::kChunks; ++i) {
    float v[kChunk];
    part.get(i, v);
    store_chunk<kAligned>(v, Part::count(first, i, cols), to + Part::col(first, i));
  }
}

}  // namespace

void cuda::check_row_cols(std::string_view operation, int64_t cols) {
  if (cols > kMaxRowCols)
    fail(ErrorCode::unsupported, "{} on the GPU: expected rows of at most {} columns, got {}",
         operation, kMaxRowCols, cols);
}

void CudaKernels::produce(const Producer& producer, const Rows& out) {
  check_produce(producer, out);
  if (producer.kind != Producer::Kind::activate) check_row_cols("produce", out.cols);
  if (out.batch * out.rows * out.cols == 0) return;
  const bool aligned = has_aligned_chunks(producer) && has_aligned_chunks(out);
  with_row_type(producer, aligned, [&](auto type, auto chunks, auto form) {
    using T = decltype(type);
    constexpr bool kAligned = decltype(chunks)::value;
    constexpr RowForm kForm = decltype(form)::value;
    const auto kernel = out.dtype == DType::bf16 ? produce_kernel<T, kAligned, kForm, bf16>
                                                 : produce_kernel<T, kAligned, kForm, float>;
    const GridOfRows grid = grid_of_rows<kForm>(out);
    const int64_t cols_of_block =
        kByWarp<kForm> ? out.cols : int64_t{grid.threads} * kRowChunks * kChunk;
    const auto pieces = static_cast<unsigned>((out.cols + cols_of_block - 1) / cols_of_block);
    kernel<<<dim3(grid.blocks, pieces), grid.threads, 0, stream_>>>(RowSource(producer), out);
  });
  check_launch("produce");
}

}  // namespace fluxq
