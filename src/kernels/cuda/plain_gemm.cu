#include <cuda_fp8.h>

#include "kernels/cuda/check.h"
#include "kernels/cuda/ending.cuh"
#include "kernels/cuda/plain_gemm.h"

namespace fluxq::cuda {
namespace {

constexpr int kTile = 16;

// Where the matrices of a batch lie: element (row, col) of matrix b.
struct Strides {
  int64_t batch, row, col;
  __device__ int64_t at(int64_t b, int64_t r, int64_t c) const {
    return b * batch + r * row + c * col;
  }
};

struct Size {
  int64_t m, n, k;
};

__device__ float value(__nv_fp8_e4m3 code) { return static_cast<float>(code); }
__device__ float value(float v) { return v; }
__device__ float value(bf16 v) { return to_float(v); }
__device__ int value(int8_t code) { return code; }

// One output to a thread; block (x, y, z) has the outputs [y, x] of matrix z.
template <typename In, typename Out, typename Finish>
__global__ void plain_kernel(const In* x, Strides x_at, const In* w, Strides w_at, Out* out,
                             Strides out_at, Size size, Finish finish) {
  using Value = decltype(value(In{}));
  __shared__ Value x_tile[kTile][kTile], w_tile[kTile][kTile + 1];
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int64_t batch = blockIdx.z;
  const int64_t row = int64_t{blockIdx.y} * kTile + ty;
  const int64_t first = int64_t{blockIdx.x} * kTile, col = first + tx;
  Value sum = 0;
  for (int64_t begin = 0; begin < size.k; begin += kTile) {
    const bool inside = begin + tx < size.k;
    x_tile[ty][tx] = inside && row < size.m ? value(x[x_at.at(batch, row, begin + tx)]) : Value{0};
    w_tile[ty][tx] =
        inside && first + ty < size.n ? value(w[w_at.at(batch, first + ty, begin + tx)]) : Value{0};
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kTile; ++i) sum += x_tile[ty][i] * w_tile[tx][i];
    __syncthreads();
  }
  if (row < size.m && col < size.n)
    out[out_at.at(batch, row, col)] = finish(static_cast<float>(sum), batch, row, col);
}

template <typename Out>
struct Multiplied {
  float alpha;
  __device__ Out operator()(float sum, int64_t, int64_t, int64_t) const {
    return round_to<Out>(alpha * sum);
  }
};

dim3 grid(const Size& size, int64_t batch) {
  return {static_cast<unsigned>((size.n + kTile - 1) / kTile),
          static_cast<unsigned>((size.m + kTile - 1) / kTile), static_cast<unsigned>(batch)};
}

template <typename In, typename Out>
void launch(CudaKernels& kernels, const Rows& x, const Rows& w, const RowScales& x_scale,
            const RowScales& w_scale, const Epilogue& epilogue, const Rows& out) {
  const Size size = {x.rows, w.rows, x.cols};
  const ScaleVector of_x = {x_scale.values, x_scale.one_for_all ? 0 : 1,
                            x_scale.one_for_all ? 1 : x.rows};
  const ScaleVector of_w = {w_scale.values, w_scale.one_for_all ? 0 : 1, 0};
  plain_kernel<<<grid(size, x.batch), dim3(kTile, kTile), 0, kernels.stream()>>>(
      static_cast<const In*>(x.data), Strides{x.batch_stride, x.row_stride, 1},
      static_cast<const In*>(w.data), Strides{0, w.row_stride, 1}, static_cast<Out*>(out.data),
      Strides{out.batch_stride, out.row_stride, 1}, size, Ending<Out>(of_x, of_w, epilogue));
  check_launch("a plain matrix product");
}

template <typename In, typename Out>
void launch_heads(CudaKernels& kernels, const CudaBlas::Heads& a, const CudaBlas::Heads& b,
                  bool b_is_nk, const CudaBlas::Heads& out, const Size& size, int64_t heads,
                  float alpha) {
  const Strides b_at = {b.head_stride, b_is_nk ? b.row_stride : 1, b_is_nk ? 1 : b.row_stride};
  plain_kernel<<<grid(size, heads), dim3(kTile, kTile), 0, kernels.stream()>>>(
      static_cast<const In*>(a.data), Strides{a.head_stride, a.row_stride, 1},
      static_cast<const In*>(b.data), b_at, static_cast<Out*>(out.data),
      Strides{out.head_stride, out.row_stride, 1}, size, Multiplied<Out>{alpha});
  check_launch("a plain matrix product of heads");
}

}  // namespace

void plain_gemm(CudaKernels& kernels, const Rows& x, const Rows& w, const RowScales& x_scale,
                const RowScales& w_scale, const Epilogue& epilogue, const Rows& out) {
  const auto with = [&](auto in, auto result) {
    launch<decltype(in), decltype(result)>(kernels, x, w, x_scale, w_scale, epilogue, out);
  };
  if (x.dtype == DType::f32 && out.dtype == DType::f32) return with(float{}, float{});
  if (out.dtype == DType::bf16) {
    if (x.dtype == DType::bf16) return with(bf16{}, bf16{});
    if (x.dtype == DType::i8) return with(int8_t{}, bf16{});
    if (x.dtype == DType::f8_e4m3) return with(__nv_fp8_e4m3{}, bf16{});
  }
  throw Error(ErrorCode::internal, "a plain matrix product of " + std::string(dtype_name(x.dtype)) +
                                       " to " + std::string(dtype_name(out.dtype)));
}

void plain_matmul(CudaKernels& kernels, const CudaBlas::Heads& a, const CudaBlas::Heads& b,
                  bool b_is_nk, const CudaBlas::Heads& out, int64_t m, int64_t n, int64_t k,
                  int64_t heads, float alpha) {
  const auto with = [&](auto in, auto result) {
    launch_heads<decltype(in), decltype(result)>(kernels, a, b, b_is_nk, out, {m, n, k}, heads,
                                                 alpha);
  };
  if (a.dtype == DType::f32) return with(float{}, float{});
  if (out.dtype == DType::f32) return with(bf16{}, float{});
  with(bf16{}, bf16{});
}

}  // namespace fluxq::cuda
