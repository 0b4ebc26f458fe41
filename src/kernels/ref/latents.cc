#include <algorithm>
#include <cmath>

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

void RefKernels::to_rgb8(const Tensor& pictures, const Tensor& rgb) {
  check_to_rgb8(pictures, rgb);
  const std::vector<float> values = to_floats(pictures);
  for (size_t i = 0; i < values.size(); ++i) {
    // In f32, as the definition of a pixel: a double would decide some ties the other way.
    const float value = values[i] * 0.5f + 0.5f;
    const float clamped = value > 0 ? std::min(value, 1.0f) : 0.0f;
    static_cast<uint8_t*>(rgb.raw())[i] = static_cast<uint8_t>(std::nearbyint(clamped * 255.0f));
  }
}

}  // namespace fluxq
