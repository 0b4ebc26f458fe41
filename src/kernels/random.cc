#include "kernels/random.h"

#include "kernels/operands.h"

namespace fluxq {

void fill_random_on_host(const Tensor& out, uint64_t key, float offset, float spread) {
  check_fill_random(out);
  const float step = spread * kRandomUnit;
  for (int64_t i = 0; i < out.elements(); ++i) {
    const float value = random_value(key, static_cast<uint64_t>(i), offset, step);
    if (out.dtype() == DType::f32)
      out.data<float>()[i] = value;
    else
      out.data<bf16>()[i] = bf16(value);
  }
}

}  // namespace fluxq
