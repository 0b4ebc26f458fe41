#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/operands.h"

namespace fluxq {
namespace {

using namespace cuda;

struct Picture {
  int64_t height, width, channels;
};

// A thread per element of out [batch, height, width, channels].
__global__ void unpack_kernel(Rows latents, float scaling, float shift, Picture size, void* out,
                              DType out_type, int64_t count) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int64_t channel = i % size.channels, pixel = i / size.channels;
  const int64_t x = pixel % size.width, y = pixel / size.width % size.height;
  const int64_t b = pixel / size.width / size.height;
  const int64_t token = (y / 2) * (size.width / 2) + x / 2;
  const int64_t column = 4 * channel + 2 * (y % 2) + x % 2;
  const int64_t at = b * latents.batch_stride + token * latents.row_stride + column;
  store_rounded(out, out_type, i, load_as_float(latents.data, latents.dtype, at) / scaling + shift);
}

}  // namespace

void CudaKernels::unpack_latents(const Rows& latents, float scaling, float shift,
                                 const Tensor& out) {
  check_unpack_latents(latents, out);
  constexpr int64_t kThreads = 256;
  const int64_t count = out.elements();
  if (count == 0) return;
  unpack_kernel<<<static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads, 0, stream_>>>(
      latents, scaling, shift, {out.dim(1), out.dim(2), out.dim(3)}, out.raw(), out.dtype(), count);
  check_launch("unpack_latents");
}

}  // namespace fluxq
