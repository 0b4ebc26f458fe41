#include "quant/formats/weight.h"

#include <cmath>

namespace fluxq {
namespace {

// Exponent all ones: NaN or Inf.
template <typename Bits>
int64_t first_not_finite(const Bits* bits, int64_t count, Bits exponent) {
  for (int64_t i = 0; i < count; ++i) {
    if ((bits[i] & exponent) == exponent) return i;
  }
  return -1;
}

int64_t first_not_finite(const Tensor& tensor) {
  if (tensor.dtype() == DType::f32)
    return first_not_finite<uint32_t>(static_cast<const uint32_t*>(tensor.raw()), tensor.elements(),
                                      0x7f800000);
  return first_not_finite<uint16_t>(static_cast<const uint16_t*>(tensor.raw()), tensor.elements(),
                                    0x7f80);
}

}  // namespace

Tensor finite_weight(const Tensor& weight, DType dtype, std::string_view name) {
  if (weight.rank() != 2)
    fail(ErrorCode::internal, "weight {}: expected shape [out, in], got {}", name,
         to_string(weight.shape()));
  const Tensor values = weight.dtype() == dtype ? weight : converted(weight, dtype);
  const int64_t bad = first_not_finite(values);
  if (bad >= 0) {
    const int64_t in = weight.dim(1);
    const Tensor one = weight.reshaped({weight.elements(), 1}).slice(bad, bad + 1);
    fail(ErrorCode::numeric, "weight {} at [{}, {}]: expected a finite {} number, got {}", name,
         bad / in, bad % in, dtype_name(dtype), to_floats(one)[0]);
  }
  return values;
}

std::vector<float> bf16_rounding(const Tensor& weight) {
  std::vector<float> values = to_floats(weight);
  for (float& value : values) value = std::abs(value - static_cast<float>(bf16(value)));
  return values;
}

PackedWeight empty_parts(const Scheme& scheme, int64_t out, int64_t in) {
  if (const auto reason = scheme.refuses(out, in))
    fail(ErrorCode::unsupported, "scheme {} cannot pack a weight [{}, {}]: {}", scheme.info().name,
         out, in, *reason);
  PackedWeight packed{out, in, {}};
  for (const PartSpec& spec : scheme.layout(out, in))
    packed.parts.push_back(Tensor::on_host(spec.dtype, spec.shape));
  return packed;
}

}  // namespace fluxq
