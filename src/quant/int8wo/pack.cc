#include <cmath>

#include "quant/int8wo/layout.h"

namespace fluxq {

const Scheme& int8wo_scheme() {
  static const Int8WoScheme scheme;
  return scheme;
}

const SchemeInfo& Int8WoScheme::info() const {
  static const SchemeInfo info = {
      .name = "int8wo",
      .summary = "8-bit weights, one scale per output channel, activations left in bf16.",
      .weight = "s8 symmetric, one f32 scale per output channel",
      .activation = "bf16",
      .bits_per_weight = 8,
      .good_for = "layers that read few rows, such as modulation: half the memory and the time",
      .torchao = "Int8WeightOnlyConfig()",
  };
  return info;
}

Tensor Int8WoScheme::values(const PackedWeight& weight) const {
  return converted(Tensor::from(S8WeightScheme::unpack(weight), {weight.out, weight.in}),
                   DType::bf16);
}

std::vector<float> Int8WoScheme::unpack(const PackedWeight& weight) const {
  return to_floats(values(weight));
}

std::vector<float> Int8WoScheme::pack_bound(const Tensor& weight) const {
  // The value is at most the bound away from the weight; half a step of bf16 is 2^-8 of it.
  std::vector<float> bound = S8WeightScheme::pack_bound(weight);
  const std::vector<float> w = to_floats(weight);
  for (size_t i = 0; i < w.size(); ++i) bound[i] += (std::abs(w[i]) + bound[i]) * 0x1p-8f;
  return bound;
}

}  // namespace fluxq
