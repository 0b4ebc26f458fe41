#include "kernels/operands.h"
#include "kernels/ref/ref_kernels.h"
#include "kernels/ref/values.h"

namespace fluxq {

using ref::get, ref::set, ref::index;

namespace {

struct RefConvWeight final : ConvWeight {
  Tensor weight, bias;  // as the stream holds them
};

/// x [B, H, W, C], doubled in height and width if asked and zero outside the picture.
double pixel(const Tensor& x, bool upsample, int64_t b, int64_t row, int64_t col, int64_t channel) {
  const int64_t times = upsample ? 2 : 1;
  if (row < 0 || row >= times * x.dim(1) || col < 0 || col >= times * x.dim(2)) return 0;
  return get(x, index(x, b, row / times, col / times, channel));
}

/// The picture under the kernel at one place, times the weight of one output channel.
double dot(const Tensor& x, const RefConvWeight& w, int64_t b, int64_t row, int64_t col,
           int64_t out_channel) {
  double sum = 0;
  for (int64_t channel = 0; channel < w.in_channels; ++channel)
    for (int64_t i = 0; i < w.kernel; ++i)
      for (int64_t j = 0; j < w.kernel; ++j) {
        const int64_t tap = ((out_channel * w.in_channels + channel) * w.kernel + i) * w.kernel + j;
        const int64_t y = row + i - w.kernel / 2, x_col = col + j - w.kernel / 2;
        sum += get(w.weight, tap) * pixel(x, w.upsample, b, y, x_col, channel);
      }
  return sum;
}

}  // namespace

std::shared_ptr<ConvWeight> RefKernels::load_conv(const Tensor& weight, const Tensor& bias,
                                                  DType stream, bool upsample) {
  check_load_conv(weight, bias, stream, upsample);
  auto loaded = std::make_shared<RefConvWeight>();
  loaded->out_channels = weight.dim(0);
  loaded->in_channels = weight.dim(1);
  loaded->kernel = weight.dim(2);
  loaded->upsample = upsample;
  loaded->weight = converted(weight, stream);
  loaded->bias = converted(bias, stream);
  loaded->bytes = loaded->weight.bytes() + loaded->bias.bytes();
  return loaded;
}

void RefKernels::conv2d(const Tensor& x, const ConvWeight& weight, const Tensor& residual,
                        const Tensor& out) {
  check_conv2d(x, weight, residual, out);
  const auto& w = dynamic_cast<const RefConvWeight&>(weight);
  for (int64_t b = 0; b < out.dim(0); ++b)
    for (int64_t row = 0; row < out.dim(1); ++row)
      for (int64_t col = 0; col < out.dim(2); ++col)
        for (int64_t channel = 0; channel < out.dim(3); ++channel) {
          const int64_t at = index(out, b, row, col, channel);
          double v = dot(x, w, b, row, col, channel) + get(w.bias, channel);
          if (!residual.empty()) v += get(residual, at);
          set(out, at, v);
        }
}

}  // namespace fluxq
