#include <cmath>

#include "quant/bf16/layout.h"
#include "quant/formats/weight.h"
#include "quant/torchao_format.h"

namespace fluxq {

const Scheme& bf16_scheme() {
  static const Bf16Scheme scheme;
  return scheme;
}

const SchemeInfo& Bf16Scheme::info() const {
  static const SchemeInfo info = {
      .name = "bf16",
      .summary = "The baseline: weights and activations in bf16, products summed in f32.",
      .weight = "bf16",
      .activation = "bf16",
      .bits_per_weight = 16,
      .good_for = "the quality that every quantized scheme is compared with",
      .torchao = "",
  };
  return info;
}

std::vector<PartSpec> Bf16Scheme::layout(int64_t out, int64_t in) const {
  return {{"weight", DType::bf16, {out, in}}};
}

PackedWeight Bf16Scheme::pack(const Tensor& weight, std::string_view name) const {
  return {weight.dim(0), weight.dim(1), {finite_weight(weight, DType::bf16, name)}};
}

std::vector<float> Bf16Scheme::unpack(const PackedWeight& weight) const {
  return to_floats(weight.parts[0]);
}

std::vector<float> Bf16Scheme::pack_bound(const Tensor& weight) const {
  // Half a step is 2^-8 of the power of two below the value; subnormal steps are all alike.
  std::vector<float> bound = to_floats(weight);
  for (float& value : bound) value = std::max(std::abs(value), 0x1p-126f) * 0x1p-8f;
  return bound;
}

StoredForm Bf16Scheme::stored_form(int64_t /*out*/, int64_t /*in*/) const {
  return {.type = "Tensor", .data = nullptr, .config = nullptr};
}

}  // namespace fluxq
