#include "quant/formats/e4m3.h"
#include "quant/formats/weight.h"
#include "quant/fp8dqrow/layout.h"

namespace fluxq {

const Scheme& fp8dqrow_scheme() {
  static const Fp8DqRowScheme scheme;
  return scheme;
}

const SchemeInfo& Fp8DqRowScheme::info() const {
  static const SchemeInfo info = {
      .name = "fp8dqrow",
      .summary = "8-bit floats, one scale per output channel and one per token.",
      .weight = "e4m3, one f32 scale per output channel",
      .activation = "e4m3, one f32 scale per token, dynamic",
      .bits_per_weight = 8,
      .good_for = "half the memory of bf16 on GPUs with fp8; outliers in few channels or tokens",
      .torchao = "Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())",
  };
  return info;
}

std::vector<PartSpec> Fp8DqRowScheme::layout(int64_t out, int64_t in) const {
  return {{"qdata", DType::f8_e4m3, {out, in}}, {"scale", DType::f32, {out, 1}}};
}

PackedWeight Fp8DqRowScheme::pack(const Tensor& weight, std::string_view name) const {
  const Tensor values = quantizable_weight(weight, name);
  PackedWeight packed = empty_parts(*this, values.dim(0), values.dim(1));
  auto* codes = static_cast<uint8_t*>(packed.parts[kQdata].raw());
  auto* scale = packed.parts[kScale].data<float>();
  for (int64_t row = 0; row < packed.out; ++row) {
    const float* w = values.data<float>() + row * packed.in;
    scale[row] = e4m3_quantize(w, packed.in, codes + row * packed.in);
  }
  return packed;
}

std::vector<float> Fp8DqRowScheme::unpack(const PackedWeight& weight) const {
  const auto* codes = static_cast<const uint8_t*>(weight.parts[kQdata].raw());
  const auto* scale = weight.parts[kScale].data<float>();
  std::vector<float> values(static_cast<size_t>(weight.out * weight.in));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = e4m3_decode(codes[i]) * scale[i / static_cast<size_t>(weight.in)];
  return values;
}

std::vector<float> Fp8DqRowScheme::pack_bound(const Tensor& weight) const {
  return row_bounds(weight, e4m3_bounds);
}

std::vector<float> Fp8DqRowScheme::input_bound(const Tensor& x) const { return pack_bound(x); }

}  // namespace fluxq
