#include "kernels/operands.h"
#include "kernels/ref/ref_kernels.h"
#include "kernels/ref/values.h"

namespace fluxq {

using ref::get, ref::set, ref::index;

void RefKernels::unpack_latents(const Rows& latents, float scaling, float shift,
                                const Tensor& out) {
  check_unpack_latents(latents, out);
  const int64_t tokens_per_row = out.dim(2) / 2;
  for (int64_t b = 0; b < out.dim(0); ++b)
    for (int64_t row = 0; row < out.dim(1); ++row)
      for (int64_t col = 0; col < out.dim(2); ++col)
        for (int64_t channel = 0; channel < out.dim(3); ++channel) {
          const int64_t token = (row / 2) * tokens_per_row + col / 2;
          const int64_t column = 4 * channel + 2 * (row % 2) + col % 2;
          set(out, index(out, b, row, col, channel),
              get(latents, b, token, column) / scaling + shift);
        }
}

}  // namespace fluxq
