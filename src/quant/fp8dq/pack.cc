#include "quant/formats/absmax.h"
#include "quant/formats/e4m3.h"
#include "quant/formats/weight.h"
#include "quant/fp8dq/layout.h"

namespace fluxq {

const Scheme& fp8dq_scheme() {
  static const Fp8DqScheme scheme;
  return scheme;
}

const SchemeInfo& Fp8DqScheme::info() const {
  static const SchemeInfo info = {
      .name = "fp8dq",
      .summary = "8-bit floats, one scale per weight and one per picture of the batch.",
      .weight = "e4m3, one f32 scale per tensor",
      .activation = "e4m3, one f32 scale per sample of the batch, dynamic",
      .bits_per_weight = 8,
      .good_for = "the simplest fp8 kernels; a floating code forgives its coarse scale",
      .torchao = "Float8DynamicActivationFloat8WeightConfig(granularity=PerTensor())",
  };
  return info;
}

std::vector<PartSpec> Fp8DqScheme::layout(int64_t out, int64_t in) const {
  return {{"qdata", DType::f8_e4m3, {out, in}}, {"scale", DType::f32, {1, 1}}};
}

PackedWeight Fp8DqScheme::pack(const Tensor& weight, std::string_view name) const {
  const Tensor values = quantizable_weight(weight, name);
  PackedWeight packed = empty_parts(*this, values.dim(0), values.dim(1));
  const float* w = values.data<float>();
  const float scale = e4m3_scale(absmax(w, values.elements()));
  packed.parts[kScale].data<float>()[0] = scale;
  e4m3_encode(w, values.elements(), scale, static_cast<uint8_t*>(packed.parts[kQdata].raw()));
  return packed;
}

std::vector<float> Fp8DqScheme::unpack(const PackedWeight& weight) const {
  const auto* codes = static_cast<const uint8_t*>(weight.parts[kQdata].raw());
  const float scale = weight.parts[kScale].data<float>()[0];
  std::vector<float> values(static_cast<size_t>(weight.out * weight.in));
  for (size_t i = 0; i < values.size(); ++i) values[i] = e4m3_decode(codes[i]) * scale;
  return values;
}

std::vector<float> Fp8DqScheme::pack_bound(const Tensor& weight) const {
  return row_bounds(weight.reshaped({1, weight.elements()}), e4m3_bounds);
}

std::vector<float> Fp8DqScheme::input_bound(const Tensor& x) const { return pack_bound(x); }

}  // namespace fluxq
