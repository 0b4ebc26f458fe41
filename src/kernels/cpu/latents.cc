#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/row_values.h"
#include "kernels/cpu/simd.h"
#include "kernels/operands.h"

namespace fluxq {
namespace {

template <typename From, typename To>
void unpack_row(const Rows& latents, int64_t batch, int64_t row, float scaling, float shift,
                const Tensor& out) {
  const int64_t width = out.dim(2), channels = out.dim(3);
  To* to = out.data<To>() + (batch * out.dim(1) + row) * width * channels;
  for (int64_t col = 0; col < width; ++col) {
    const From* token = latents.row<From>(batch, row / 2 * (width / 2) + col / 2);
    const From* corner = token + row % 2 * 2 + col % 2;
    for (int64_t channel = 0; channel < channels; ++channel)
      *to++ = cpu::round_to<To>(cpu::to_float(corner[4 * channel]) / scaling + shift);
  }
}

}  // namespace

void CpuKernels::unpack_latents(const Rows& latents, float scaling, float shift,
                                const Tensor& out) {
  check_unpack_latents(latents, out);
  const int64_t height = out.dim(1);
  const bool from_bf16 = latents.dtype == DType::bf16, to_bf16 = out.dtype() == DType::bf16;
  const auto unpack = from_bf16 ? (to_bf16 ? unpack_row<bf16, bf16> : unpack_row<bf16, float>)
                                : (to_bf16 ? unpack_row<float, bf16> : unpack_row<float, float>);
  pool_.parallel_for(out.dim(0) * height, [&](int64_t piece, int) {
    unpack(latents, piece / height, piece % height, scaling, shift, out);
  });
}

namespace {

FLUXQ_SIMD void rgb8_of(const float* values, int64_t count, uint8_t* rgb) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    // Halving is exact, so a fused multiply-add changes nothing.
    float value = values[i] * 0.5f + 0.5f;
    value = value > 0 ? value : 0.0f;
    value = value < 1 ? value : 1.0f;
    rgb[i] = static_cast<uint8_t>(std::nearbyint(value * 255.0f));
  }
}

}  // namespace

void CpuKernels::to_rgb8(const Tensor& pictures, const Tensor& rgb) {
  check_to_rgb8(pictures, rgb);
  constexpr int64_t kPiece = 1 << 14;
  const int64_t count = pictures.elements();
  pool_.parallel_for((count + kPiece - 1) / kPiece, [&](int64_t piece, int) {
    const int64_t begin = piece * kPiece, size = std::min(kPiece, count - begin);
    auto* to = static_cast<uint8_t*>(rgb.raw()) + begin;
    if (pictures.dtype() == DType::f32) {
      rgb8_of(pictures.data<float>() + begin, size, to);
      return;
    }
    std::vector<float> values(static_cast<size_t>(size));
    cpu::widen(pictures.data<bf16>() + begin, DType::bf16, size, values.data());
    rgb8_of(values.data(), size, to);
  });
}

}  // namespace fluxq
