#include "quant/formats/s4.h"
#include "quant/formats/weight.h"
#include "quant/int4wo/layout.h"

namespace fluxq {

const Scheme& int4wo_scheme() {
  static const Int4WoScheme scheme;
  return scheme;
}

const SchemeInfo& Int4WoScheme::info() const {
  static const SchemeInfo info = {
      .name = "int4wo",
      .summary = "4-bit weights in groups of 128, activations left in bf16.",
      .weight = "4 bit in groups of 128 along `in`, bf16 scale and float zero point",
      .activation = "bf16",
      .bits_per_weight = 4.25,
      .good_for = "a quarter of the memory where memory decides; saves no time at large batches",
      .torchao = "Int4WeightOnlyConfig(group_size=128), stored as Int4Tensor",
  };
  return info;
}

std::optional<std::string> Int4WoScheme::refuses(int64_t /*out*/, int64_t in) const {
  if (in % kS4Group == 0) return std::nullopt;
  return fmt::format("in = {} is not a multiple of the group of {}", in, kS4Group);
}

std::vector<PartSpec> Int4WoScheme::layout(int64_t out, int64_t in) const {
  return {{"qdata", DType::i8, {out, in / 2}},
          {"scale", DType::bf16, {in / kS4Group, out}},
          {"zero_point", DType::bf16, {in / kS4Group, out}}};
}

PackedWeight Int4WoScheme::pack(const Tensor& weight, std::string_view name) const {
  const Tensor values = quantizable_weight(weight, name);
  PackedWeight packed = empty_parts(*this, values.dim(0), values.dim(1));
  auto* qdata = static_cast<uint8_t*>(packed.parts[kQdata].raw());
  const int64_t groups = packed.in / kS4Group;
  for (int64_t i = 0; i < packed.out * groups; ++i) {
    const int64_t row = i / groups, group = i % groups;
    const float* w = values.data<float>() + i * kS4Group;
    const S4Scale scale = s4_scale(w, kS4Group);
    packed.parts[kScale].data<bf16>()[group * packed.out + row] = scale.scale;
    packed.parts[kZeroPoint].data<bf16>()[group * packed.out + row] = scale.zero_point;
    uint8_t codes[kS4Group];
    s4_encode(w, kS4Group, scale, codes);
    s4_store(codes, kS4Group, qdata + i * (kS4Group / 2));
  }
  return packed;
}

Tensor Int4WoScheme::values(const PackedWeight& weight) {
  Tensor values = Tensor::on_host(DType::bf16, {weight.out, weight.in});
  const auto* qdata = static_cast<const uint8_t*>(weight.parts[kQdata].raw());
  const int64_t groups = weight.in / kS4Group;
  for (int64_t i = 0; i < weight.out * groups; ++i) {
    const int64_t at = i % groups * weight.out + i / groups;
    const S4Scale scale = {weight.parts[kScale].data<bf16>()[at],
                           weight.parts[kZeroPoint].data<bf16>()[at]};
    uint8_t codes[kS4Group];
    s4_load(qdata + i * (kS4Group / 2), kS4Group, codes);
    s4_decode(codes, kS4Group, scale, values.data<bf16>() + i * kS4Group);
  }
  return values;
}

std::vector<float> Int4WoScheme::unpack(const PackedWeight& weight) const {
  return to_floats(values(weight));
}

std::vector<float> Int4WoScheme::pack_bound(const Tensor& weight) const {
  return row_bounds(weight.reshaped({weight.elements() / kS4Group, kS4Group}), s4_bounds);
}

}  // namespace fluxq
