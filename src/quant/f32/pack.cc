#include "quant/f32/layout.h"
#include "quant/formats/weight.h"
#include "quant/torchao_format.h"

namespace fluxq {

const Scheme& f32_scheme() {
  static const F32Scheme scheme;
  return scheme;
}

const SchemeInfo& F32Scheme::info() const {
  static const SchemeInfo info = {
      .name = "f32",
      .summary = "The exact reference: weights as stored, everything computed in f32.",
      .weight = "f32",
      .activation = "f32",
      .bits_per_weight = 32,
      .good_for = "measuring what the other schemes cost in quality, bf16 included",
      .torchao = "",
  };
  return info;
}

std::vector<PartSpec> F32Scheme::layout(int64_t out, int64_t in) const {
  return {{"weight", DType::f32, {out, in}}};
}

PackedWeight F32Scheme::pack(const Tensor& weight, std::string_view name) const {
  return {weight.dim(0), weight.dim(1), {finite_weight(weight, DType::f32, name)}};
}

std::vector<float> F32Scheme::unpack(const PackedWeight& weight) const {
  return to_floats(weight.parts[0]);
}

std::vector<float> F32Scheme::pack_bound(const Tensor& weight) const {
  return std::vector<float>(static_cast<size_t>(weight.elements()), 0.0f);
}

StoredForm F32Scheme::stored_form(int64_t /*out*/, int64_t /*in*/) const {
  return {.type = "Tensor", .data = nullptr, .config = nullptr};
}

}  // namespace fluxq
