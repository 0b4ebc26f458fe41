/// Convolutions: by cuDNN where channels come in eights, else by own kernels, one picture at a
/// time. No picture is doubled in memory: cuDNN gets four 2 x 2 convolutions of the small one.
#include <cstring>

#include "kernels/cuda/conv_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/dnn.h"
#include "kernels/operands.h"
#include "kernels/upsampling.h"

namespace fluxq {
namespace {

struct CudaConvWeight final : ConvWeight {
  Tensor weight;  // [out, k, k, in], or of the four phases [4, out, 2, 2, in]; stream's dtype
  Tensor bias;    // [out]
};

/// weight [out, in, k, k] as [out, k, k, in], of elements T.
template <typename T>
void channels_last(const Tensor& weight, const Tensor& to) {
  const int64_t taps = weight.dim(2) * weight.dim(3), channels = weight.dim(1);
  const T* from = weight.data<T>();
  for (int64_t filter = 0; filter < weight.dim(0); ++filter)
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t c = 0; c < channels; ++c)
        to.data<T>()[(filter * taps + tap) * channels + c] =
            from[(filter * channels + c) * taps + tap];
}

Tensor channels_last(const Tensor& weight) {
  const Tensor to =
      Tensor::on_host(weight.dtype(), {weight.dim(0), weight.dim(2), weight.dim(3), weight.dim(1)});
  if (weight.dtype() == DType::bf16)
    channels_last<bf16>(weight, to);
  else
    channels_last<float>(weight, to);
  return to;
}

bool suits_cudnn(const CudaConvWeight& w, DType stream) {
  return stream == DType::bf16 && w.in_channels % 8 == 0 && w.out_channels % 8 == 0;
}

/// The weights of the four phases [4, out, 2, 2, in], from weight [out, in, 3, 3].
Tensor phases_channels_last(const Tensor& weight) {
  const int64_t out = weight.dim(0), in = weight.dim(1);
  const Tensor floats = converted(weight, DType::f32);
  const Tensor phases = Tensor::on_host(weight.dtype(), {kPhases, out, 2, 2, in});
  for (int64_t i = 0; i < kPhases; ++i) {
    const Tensor phase = converted(phase_weight(floats, i / 2, i % 2), weight.dtype());
    const Tensor to = phases.slice(i, i + 1);
    std::memcpy(to.raw(), channels_last(phase).raw(), static_cast<size_t>(to.bytes()));
  }
  return phases;
}

/// x, residual (or empty), out [1, height, width, channels]; x half as high and wide if upsampled.
void convolve_picture(const CudaConvWeight& w, const Tensor& x, const Tensor& residual,
                      const Tensor& out, cudaStream_t stream) {
  const cuda::Convolution conv = {.height = static_cast<int>(out.dim(1)),
                                  .width = static_cast<int>(out.dim(2)),
                                  .in_channels = static_cast<int>(w.in_channels),
                                  .out_channels = static_cast<int>(w.out_channels),
                                  .kernel = static_cast<int>(w.kernel),
                                  .upsample = w.upsample,
                                  .dtype = x.dtype(),
                                  .x = x.raw(),
                                  .weight = w.weight.raw(),
                                  .bias = w.bias.raw(),
                                  .residual = residual.raw(),
                                  .out = out.raw()};
  if (cuda::suits_conv_few(conv))
    cuda::conv_few(conv, stream);
  else
    cuda::conv_plain(conv, stream);
}

}  // namespace

std::shared_ptr<ConvWeight> CudaKernels::load_conv(const Tensor& weight, const Tensor& bias,
                                                   DType stream, bool upsample) {
  check_load_conv(weight, bias, stream, upsample);
  auto loaded = std::make_shared<CudaConvWeight>();
  loaded->out_channels = weight.dim(0);
  loaded->in_channels = weight.dim(1);
  loaded->kernel = weight.dim(2);
  loaded->upsample = upsample;
  const Tensor values = converted(weight, stream);
  loaded->weight = upload(upsample && suits_cudnn(*loaded, stream) ? phases_channels_last(values)
                                                                   : channels_last(values));
  loaded->bias = upload(converted(bias, stream));
  loaded->bytes = loaded->weight.bytes() + loaded->bias.bytes();
  return loaded;
}

void CudaKernels::conv2d(const Tensor& x, const ConvWeight& weight, const Tensor& residual,
                         const Tensor& out) {
  check_conv2d(x, weight, residual, out);
  const auto& loaded = dynamic_cast<const CudaConvWeight&>(weight);
  if (x.dtype() != loaded.weight.dtype())
    fail(ErrorCode::internal, "conv2d: expected x of {}, got {}", dtype_name(loaded.weight.dtype()),
         dtype_name(x.dtype()));
  if (out.elements() == 0) return;
  if (suits_cudnn(loaded, x.dtype())) {
    if (loaded.upsample)
      dnn_->convolve_doubled(x, loaded.weight, loaded.bias, residual, out);
    else
      dnn_->convolve(x, loaded.weight, loaded.bias, residual, out);
    return;
  }
  const auto picture = [](const Tensor& of, int64_t b) { return of.slice(b, b + 1); };
  for (int64_t b = 0; b < x.dim(0); ++b)
    convolve_picture(loaded, picture(x, b), residual.empty() ? residual : picture(residual, b),
                     picture(out, b), stream_);
}

}  // namespace fluxq
