/// The own kernels of convolutions: what cuDNN does not do, or not well. All work on one picture,
/// channels last, and depend on nothing but its size.
#pragma once

#include <cuda_runtime.h>

#include "tensor/dtype.h"

namespace fluxq::cuda {

/// A convolution of one picture, all of one type (f32 or bf16): out [height, width, out_channels] =
/// conv(x [height, width, in_channels], weight [out_channels, kernel, kernel, in_channels]) + bias
/// + residual (like out, or null; it may be `out`). Zero padding kernel / 2, kernel 1 or 3.
struct Convolution {
  int height = 0, width = 0, in_channels = 0, out_channels = 0, kernel = 0;
  DType dtype = DType::bf16;
  const void *x = nullptr, *weight = nullptr, *bias = nullptr, *residual = nullptr;
  void* out = nullptr;
};

/// One thread for each result: any number of channels, and slow.
void conv_plain(const Convolution& conv, cudaStream_t stream);

/// Whether conv_few can do it: bf16, in_channels a multiple of 16, fewer than 8 channels out (the
/// decoder's last layer: x is read once, at the speed of memory).
bool suits_conv_few(const Convolution& conv);
void conv_few(const Convolution& conv, cudaStream_t stream);

/// out [2 height, 2 width, pixel] = x [height, width, pixel] with every pixel four times. A pixel
/// has `pixel_bytes` bytes, an even number; x and out begin at multiples of 16 bytes or of the
/// largest power of two that divides pixel_bytes.
void upsample_nearest(const void* x, int height, int width, int64_t pixel_bytes, void* out,
                      cudaStream_t stream);

}  // namespace fluxq::cuda
