#include <cuda_bf16.h>

#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/operands.h"

namespace fluxq {
namespace {

constexpr int kThreads = 256;

__device__ float to_float(float value) { return value; }
__device__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

// values, rgb: [count]
template <typename T>
__global__ void rgb8_kernel(const T* values, int64_t count, uint8_t* rgb) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= count) return;
  const float value = to_float(values[i]) * 0.5f + 0.5f;  // halving is exact
  // fmaxf makes 0 of NaN
  rgb[i] = static_cast<uint8_t>(__float2int_rn(__fmul_rn(fminf(fmaxf(value, 0.0f), 1.0f), 255.0f)));
}

}  // namespace

void CudaKernels::to_rgb8(const Tensor& pictures, const Tensor& rgb) {
  check_to_rgb8(pictures, rgb);
  const int64_t count = pictures.elements();
  if (count == 0) return;
  const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  auto* out = static_cast<uint8_t*>(rgb.raw());
  if (pictures.dtype() == DType::f32)
    rgb8_kernel<<<blocks, kThreads, 0, stream_>>>(pictures.data<float>(), count, out);
  else
    rgb8_kernel<<<blocks, kThreads, 0, stream_>>>(static_cast<const __nv_bfloat16*>(pictures.raw()),
                                                  count, out);
  cuda::check_launch("to_rgb8");
}

}  // namespace fluxq
