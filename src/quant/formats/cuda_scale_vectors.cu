#include "kernels/cuda/check.h"
#include "kernels/cuda/device_values.cuh"
#include "quant/formats/cuda_scale_vectors.h"

namespace fluxq::cuda {
namespace {

constexpr int kThreads = 256;

dim3 grid(int64_t columns, int64_t batch) {
  return {static_cast<unsigned>((columns + kThreads - 1) / kThreads), static_cast<unsigned>(batch)};
}

__device__ int64_t column_of_thread() { return int64_t{blockIdx.x} * kThreads + threadIdx.x; }

__global__ void spread_kernel(const float* scale, bool per_matrix, int64_t rows, float* out,
                              int64_t out_stride) {
  const int64_t row = column_of_thread(), b = blockIdx.y;
  if (row < rows) out[b * out_stride + row] = scale[per_matrix ? b : b * rows + row];
}

__global__ void fold_kernel(Rows gate, const float* w_scale, bool one_for_all, const bf16* bias,
                            float* scale, bf16* gated_bias) {
  const int64_t col = column_of_thread(), b = blockIdx.y;
  if (col >= gate.cols) return;
  const float g = to_float(row_of<bf16>(gate, b, 0)[col]);
  scale[b * gate.cols + col] = g * w_scale[one_for_all ? 0 : col];
  if (bias) gated_bias[b * gate.cols + col] = round_to<bf16>(g * to_float(bias[col]));
}

}  // namespace

void spread_scales(CudaKernels& kernels, const Tensor& scale, int64_t batch, int64_t rows,
                   const Tensor& out) {
  spread_kernel<<<grid(rows, batch), kThreads, 0, kernels.stream()>>>(
      scale.data<float>(), scale.elements() != batch * rows, rows, out.data<float>(),
      out.elements() / batch);
  check_launch("spreading scales");
}

void fold_gate(CudaKernels& kernels, const Rows& gate, const Tensor& w_scale, const Tensor& bias,
               const Tensor& scale, const Tensor& gated_bias) {
  fold_kernel<<<grid(gate.cols, gate.batch), kThreads, 0, kernels.stream()>>>(
      gate, w_scale.data<float>(), w_scale.elements() == 1, static_cast<const bf16*>(bias.raw()),
      scale.data<float>(), static_cast<bf16*>(gated_bias.raw()));
  check_launch("folding a gate into scales");
}

}  // namespace fluxq::cuda
