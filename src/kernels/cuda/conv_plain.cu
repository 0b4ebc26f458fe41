#include "kernels/cuda/check.h"
#include "kernels/cuda/conv_kernels.h"
#include "kernels/cuda/device_values.cuh"

namespace fluxq::cuda {
namespace {

constexpr int kThreads = 128;

template <typename T>
__global__ void conv_point(Convolution conv) {
  const int point = blockIdx.x * kThreads + threadIdx.x;
  if (point >= conv.width * conv.out_channels) return;
  const int row = blockIdx.y, col = point / conv.out_channels, filter = point % conv.out_channels;
  const int halo = conv.kernel / 2;
  const T* x = static_cast<const T*>(conv.x);
  const T* taps = static_cast<const T*>(conv.weight) +
                  static_cast<int64_t>(filter) * conv.kernel * conv.kernel * conv.in_channels;
  float sum = 0;
  for (int i = 0; i < conv.kernel; ++i)
    for (int j = 0; j < conv.kernel; ++j, taps += conv.in_channels) {
      const int y = row + i - halo, x_col = col + j - halo;
      if (y < 0 || y >= conv.height || x_col < 0 || x_col >= conv.width) continue;
      const int64_t at = conv.upsample ? static_cast<int64_t>(y / 2) * (conv.width / 2) + x_col / 2
                                       : static_cast<int64_t>(y) * conv.width + x_col;
      const T* pixel = x + at * conv.in_channels;
      for (int c = 0; c < conv.in_channels; ++c) sum += to_float(pixel[c]) * to_float(taps[c]);
    }
  sum += to_float(static_cast<const T*>(conv.bias)[filter]);
  const int64_t at = static_cast<int64_t>(row) * conv.width * conv.out_channels + point;
  if (conv.residual) sum += to_float(static_cast<const T*>(conv.residual)[at]);
  static_cast<T*>(conv.out)[at] = round_to<T>(sum);
}

}  // namespace

void conv_plain(const Convolution& conv, cudaStream_t stream) {
  const int64_t row_points = int64_t{conv.width} * conv.out_channels;
  const dim3 grid(static_cast<unsigned>((row_points + kThreads - 1) / kThreads),
                  static_cast<unsigned>(conv.height));
  if (conv.dtype == DType::bf16)
    conv_point<bf16><<<grid, kThreads, 0, stream>>>(conv);
  else
    conv_point<float><<<grid, kThreads, 0, stream>>>(conv);
  check_launch("a plain convolution");
}

}  // namespace fluxq::cuda
