/// The own kernels of convolutions: what cuDNN does not do, or not well. All work on one picture,
/// channels last, and depend on nothing but its size.
#pragma once

#include <cuda_runtime.h>

#include "tensor/tensor.h"

namespace fluxq::cuda {

/// A convolution of one picture, all of one type (f32 or bf16): out [height, width, out_channels] =
/// conv(x [height, width, in_channels], weight [out_channels, kernel, kernel, in_channels]) + bias
/// + residual (like out, or null; it may be `out`). Zero padding kernel / 2, kernel 1 or 3. If
/// `upsample`, x is [height / 2, width / 2, in_channels], and every pixel counts four times.
struct Convolution {
  int height = 0, width = 0, in_channels = 0, out_channels = 0, kernel = 0;
  bool upsample = false;
  DType dtype = DType::bf16;
  const void *x = nullptr, *weight = nullptr, *bias = nullptr, *residual = nullptr;
  void* out = nullptr;
};

/// One thread for each result: any number of channels, and slow.
void conv_plain(const Convolution& conv, cudaStream_t stream);

/// Whether conv_few can do it: bf16, not upsampled, in_channels a multiple of 16, fewer than 8
/// channels out (the decoder's last layer: x is read once, at the speed of memory).
bool suits_conv_few(const Convolution& conv);
void conv_few(const Convolution& conv, cudaStream_t stream);

/// Between pictures [B, 2 H, 2 W, C], of which a phase is the pixels of every second row and column
/// from (row, col) on, and parts [B, H + 1, W + 1, C], where it is the H x W pixels from (row, col)
/// on. bf16, C a multiple of 8; both begin at multiples of 16 bytes.
void gather_phase(const Tensor& pictures, int64_t row, int64_t col, const Tensor& parts,
                  cudaStream_t stream);
void spread_phase(const Tensor& parts, int64_t row, int64_t col, const Tensor& pictures,
                  cudaStream_t stream);

}  // namespace fluxq::cuda
