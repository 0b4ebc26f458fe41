#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/row_producer.cuh"
#include "kernels/operands.h"

namespace fluxq {
namespace {

using namespace cuda;

// Norms: one block per row. Activations need no sum: a row may be shared out to blockIdx.y.
template <typename T, bool kAligned, RowForm kForm, typename Out>
__global__ void __launch_bounds__(kFormThreads<kForm>, kFormBlocks<kAligned, kForm>)
    produce_kernel(RowSource source, Rows out) {
  const BlockRow at(out);
  const int first = static_cast<int>(blockIdx.y * blockDim.x) * kRowChunks * kChunk;
  RowPart<T> part;
  produce_row<T, kAligned, kForm>(source, at.batch, at.row, first, part);
  Out* to = row_of<Out>(out, at.batch, at.row);
#pragma unroll
  for (int i = 0; i < kRowChunks; ++i) {
    const int col = chunk_col(first, i);
    float v[kChunk];
    part.get(i, v);
    store_chunk<kAligned>(v, out.cols - col, to + col);
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
  const unsigned threads = row_threads(out.cols);
  const int64_t cols_per_block = int64_t{threads} * kRowChunks * kChunk;
  const dim3 grid(static_cast<unsigned>(out.batch * out.rows),
                  static_cast<unsigned>((out.cols + cols_per_block - 1) / cols_per_block));
  const bool aligned = has_aligned_chunks(producer) && has_aligned_chunks(out);
  with_row_type(producer, aligned, [&](auto type, auto chunks, auto form) {
    using T = decltype(type);
    constexpr bool kAligned = decltype(chunks)::value;
    constexpr RowForm kForm = decltype(form)::value;
    const auto kernel = out.dtype == DType::bf16 ? produce_kernel<T, kAligned, kForm, bf16>
                                                 : produce_kernel<T, kAligned, kForm, float>;
    kernel<<<grid, threads, 0, stream_>>>(RowSource(producer), out);
  });
  check_launch("produce");
}

}  // namespace fluxq
