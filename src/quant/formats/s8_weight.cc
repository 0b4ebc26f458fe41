#include "quant/formats/s8_weight.h"

#include <algorithm>

#include "quant/formats/s8.h"
#include "quant/formats/torchao_json.h"
#include "quant/formats/weight.h"

namespace fluxq {

std::vector<PartSpec> S8WeightScheme::layout(int64_t out, int64_t in) const {
  return {{"qdata", DType::i8, {out, in}},
          {"scale", DType::f32, {out, 1}},
          {"zero_point", DType::i8, {out, 1}}};
}

PackedWeight S8WeightScheme::pack(const Tensor& weight, std::string_view name) const {
  const Tensor values = quantizable_weight(weight, name);
  PackedWeight packed = empty_parts(*this, values.dim(0), values.dim(1));
  auto* scale = packed.parts[kScale].data<float>();
  for (int64_t row = 0; row < packed.out; ++row) {
    const float* w = values.data<float>() + row * packed.in;
    scale[row] = s8_quantize(w, packed.in, packed.parts[kQdata].data<int8_t>() + row * packed.in);
  }
  std::fill_n(packed.parts[kZeroPoint].data<int8_t>(), packed.out, int8_t{0});
  return packed;
}

std::vector<float> S8WeightScheme::unpack(const PackedWeight& weight) const {
  const auto* codes = weight.parts[kQdata].data<int8_t>();
  const auto* scale = weight.parts[kScale].data<float>();
  std::vector<float> values(static_cast<size_t>(weight.out * weight.in));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(codes[i]) * scale[i / static_cast<size_t>(weight.in)];
  return values;
}

void S8WeightScheme::check(const PackedWeight& weight, std::string_view name) const {
  Scheme::check(weight, name);
  const auto* zero_point = weight.parts[kZeroPoint].data<int8_t>();
  for (int64_t row = 0; row < weight.out; ++row) {
    if (zero_point[row] != 0)
      fail(ErrorCode::corrupt_file, "weight {}, its zero_point at {}: expected 0, got {}", name,
           row, zero_point[row]);
  }
}

std::vector<float> S8WeightScheme::pack_bound(const Tensor& weight) const {
  return row_bounds(weight, s8_bounds);
}

Json S8WeightScheme::int8_tensor(int64_t in, const Json& activations) {
  return {{"act_quant_kwargs", activations},
          {"reduce_range", false},
          {"block_size", Json::array({1, in})},
          {"dtype", torchao::dtype("bfloat16")}};
}

}  // namespace fluxq
