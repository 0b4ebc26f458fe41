#include "quant/int8dq/layout.h"

namespace fluxq {

const Scheme& int8dq_scheme() {
  static const Int8DqScheme scheme;
  return scheme;
}

const SchemeInfo& Int8DqScheme::info() const {
  static const SchemeInfo info = {
      .name = "int8dq",
      .summary = "8-bit integers, one scale per output channel and one per token.",
      .weight = "s8 symmetric, one f32 scale per output channel",
      .activation = "s8 symmetric, one f32 scale per token, dynamic",
      .bits_per_weight = 8,
      .good_for = "the best quality of 8 bits, and the fastest, on CPUs with VNNI and on GPUs",
      .torchao = "Int8DynamicActivationInt8WeightConfig()",
  };
  return info;
}

std::vector<float> Int8DqScheme::input_bound(const Tensor& x) const { return pack_bound(x); }

}  // namespace fluxq
