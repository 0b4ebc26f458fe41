#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/operands.h"

namespace fluxq {
namespace {

using namespace cuda;

constexpr unsigned kThreads = 256;

// Blocks and threads of an operation on rows, `width` elements of a row to a thread: narrow rows
// share a block.
struct RowGrid {
  dim3 blocks, threads;
  RowGrid(const Rows& rows, int64_t width) {
    const int64_t pieces = (rows.cols + width - 1) / width;
    threads.x = 1;
    while (threads.x < kThreads && threads.x < pieces) threads.x *= 2;
    threads.y = kThreads / threads.x;
    const int64_t all_rows = rows.batch * rows.rows;
    blocks.x = static_cast<unsigned>((all_rows + threads.y - 1) / threads.y);
    blocks.y = static_cast<unsigned>((pieces + threads.x - 1) / threads.x);
  }
};

// A thread's place in it; `outside` if there is none.
struct RowPlace {
  int64_t batch, row, col;
  bool outside;
  __device__ RowPlace(const Rows& rows, int width) {
    const int64_t i = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
    batch = i / rows.rows;
    row = i % rows.rows;
    col = (int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * width;
    outside = batch >= rows.batch || col >= rows.cols;
  }
};

__device__ int64_t index_of(const Rows& rows, const RowPlace& at) {
  return at.batch * rows.batch_stride + at.row * rows.row_stride + at.col;
}

struct Ending {
  const void* bias;
  Act act;
  Rows gate, residual;
};

template <typename Acc, typename Out, bool kAligned>
__global__ void __launch_bounds__(kThreads) apply_kernel(Ending ending, Rows acc, Rows out) {
  const RowPlace at(out, kChunk);
  if (at.outside) return;
  const int64_t count = out.cols - at.col;
  float v[kChunk], other[kChunk];
  load_chunk<kAligned>(row_of<Acc>(acc, at.batch, at.row) + at.col, count, v);
  if (ending.bias) {
    load_chunk<kAligned>(static_cast<const Out*>(ending.bias) + at.col, count, other);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) v[i] = __fadd_rn(v[i], other[i]);
  }
#pragma unroll
  for (int i = 0; i < kChunk; ++i) v[i] = activate<Out>(ending.act, v[i]);
  if (ending.gate.data) {
    load_chunk<kAligned>(row_of<Out>(ending.gate, at.batch, 0) + at.col, count, other);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) v[i] = __fmul_rn(v[i], other[i]);
  }
  if (ending.residual.data) {
    load_chunk<kAligned>(row_of<Out>(ending.residual, at.batch, at.row) + at.col, count, other);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) v[i] = __fadd_rn(v[i], other[i]);
  }
  store_chunk<kAligned>(v, count, row_of<Out>(out, at.batch, at.row) + at.col);
}

template <typename Acc, typename Out>
void run_apply(cudaStream_t stream, const Epilogue& e, const Rows& acc, const Rows& out) {
  const RowGrid grid(out, kChunk);
  const Ending ending = {e.bias.raw(), e.act, e.gate, e.residual};
  if (has_aligned_chunks(acc) && has_aligned_chunks(out) && has_aligned_chunks(e.gate) &&
      has_aligned_chunks(e.residual) && (e.bias.empty() || has_aligned_chunks(e.bias)))
    apply_kernel<Acc, Out, true><<<grid.blocks, grid.threads, 0, stream>>>(ending, acc, out);
  else
    apply_kernel<Acc, Out, false><<<grid.blocks, grid.threads, 0, stream>>>(ending, acc, out);
}

// An id outside of the table gives NaN, which the model's checks of its results report.
__global__ void embed_kernel(const int32_t* ids, const void* table, const void* positions,
                             DType type, int64_t vocabulary, Rows out) {
  const RowPlace at(out, 1);
  if (at.outside) return;
  const int64_t id = ids[at.batch * out.rows + at.row];
  float v = __uint_as_float(0x7fc00000);
  if (id >= 0 && id < vocabulary) {
    v = load_as_float(table, type, id * out.cols + at.col);
    if (positions) v += load_as_float(positions, type, at.row * out.cols + at.col);
  }
  store_rounded(out.data, out.dtype, index_of(out, at), v);
}

__global__ void euler_kernel(Rows velocity, float step, Rows latents) {
  const RowPlace at(latents, 1);
  if (at.outside) return;
  const float v = load_as_float(velocity.data, velocity.dtype, index_of(velocity, at));
  const float x = load_as_float(latents.data, latents.dtype, index_of(latents, at));
  store_rounded(latents.data, latents.dtype, index_of(latents, at), x + step * v);
}

__global__ void find_not_finite(Rows x, int32_t* found) {
  const RowPlace at(x, 1);
  if (!at.outside && !isfinite(load_as_float(x.data, x.dtype, index_of(x, at)))) *found = 1;
}

}  // namespace

void CudaKernels::apply(const Epilogue& epilogue, const Rows& acc, const Rows& out) {
  check_apply(epilogue, acc, out);
  if (out.batch * out.rows * out.cols == 0) return;
  if (out.dtype == DType::f32)
    run_apply<float, float>(stream_, epilogue, acc, out);
  else if (acc.dtype == DType::f32)
    run_apply<float, bf16>(stream_, epilogue, acc, out);
  else
    run_apply<bf16, bf16>(stream_, epilogue, acc, out);
  check_launch("apply");
}

void CudaKernels::embed(const Tensor& ids, const Tensor& table, const Tensor& positions,
                        const Rows& out) {
  check_embed(ids, table, positions, out);
  if (out.batch * out.rows * out.cols == 0) return;
  const RowGrid grid(out, 1);
  embed_kernel<<<grid.blocks, grid.threads, 0, stream_>>>(
      ids.data<int32_t>(), table.raw(), positions.raw(), table.dtype(), table.dim(0), out);
  check_launch("embed");
}

void CudaKernels::euler_step(const Rows& velocity, float sigma, float sigma_next,
                             const Rows& latents) {
  check_euler_step(velocity, latents);
  if (latents.batch * latents.rows * latents.cols == 0) return;
  const RowGrid grid(latents, 1);
  euler_kernel<<<grid.blocks, grid.threads, 0, stream_>>>(velocity, sigma_next - sigma, latents);
  check_launch("euler_step");
}

bool CudaKernels::all_finite(const Rows& x) {
  if (x.batch * x.rows * x.cols == 0) return true;
  const Arena::Scope scope(arena_);
  const Tensor found = arena_.take(DType::i32, {1});
  check(cudaMemsetAsync(found.raw(), 0, sizeof(int32_t), stream_), "clearing memory");
  const RowGrid grid(x, 1);
  find_not_finite<<<grid.blocks, grid.threads, 0, stream_>>>(x, found.data<int32_t>());
  check_launch("all_finite");
  return download(found).data<int32_t>()[0] == 0;
}

}  // namespace fluxq
