#include "kernels/cpu/cpu_kernels.h"
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

}  // namespace fluxq
