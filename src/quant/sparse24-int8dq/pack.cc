#include <algorithm>
#include <cmath>

#include "quant/formats/s8.h"
#include "quant/formats/sparse24.h"
#include "quant/formats/weight.h"
#include "quant/sparse24-int8dq/layout.h"

namespace fluxq {
namespace {

// A copy of the weight's values with two of each four set to zero.
Tensor pruned(const Tensor& weight) {
  Tensor values = converted(weight, DType::f32);
  sparse24_prune(values.data<float>(), values.elements());
  return values;
}

}  // namespace

const Scheme& sparse24_int8dq_scheme() {
  static const Sparse24Int8DqScheme scheme;
  return scheme;
}

const SchemeInfo& Sparse24Int8DqScheme::info() const {
  static const SchemeInfo info = {
      .name = "sparse24-int8dq",
      .summary = "int8dq with two of each four weights set to zero.",
      .weight = "2:4 along `in`, s8 symmetric, one f32 scale per output channel",
      .activation = "s8 symmetric, one f32 scale per token, dynamic",
      .bits_per_weight = 5,
      .good_for = "speed on sparse tensor cores, if weights were pruned with care",
      .torchao = "",
  };
  return info;
}

std::optional<std::string> Sparse24Int8DqScheme::refuses(int64_t /*out*/, int64_t in) const {
  if (in % 4 == 0) return std::nullopt;
  return fmt::format("in = {} is not a multiple of the group of 4", in);
}

std::vector<PartSpec> Sparse24Int8DqScheme::layout(int64_t out, int64_t in) const {
  return {{"qdata", DType::i8, {out, in / 2}},
          {"metadata", DType::u8, {out, sparse24_metadata_bytes(in)}},
          {"scale", DType::f32, {out, 1}}};
}

PackedWeight Sparse24Int8DqScheme::pack(const Tensor& weight, std::string_view name) const {
  PackedWeight packed = empty_parts(*this, weight.dim(0), weight.dim(1));
  const int64_t in = packed.in, metadata_bytes = sparse24_metadata_bytes(in);
  const Tensor values = pruned(quantizable_weight(weight, name));
  std::vector<int8_t> codes(static_cast<size_t>(in));
  for (int64_t row = 0; row < packed.out; ++row) {
    const float* w = values.data<float>() + row * in;
    packed.parts[kScale].data<float>()[row] = s8_quantize(w, in, codes.data());
    sparse24_compress(codes.data(), in, packed.parts[kQdata].data<int8_t>() + row * (in / 2),
                      packed.parts[kMetadata].data<uint8_t>() + row * metadata_bytes);
  }
  return packed;
}

Tensor Sparse24Int8DqScheme::codes(const PackedWeight& weight) {
  const int64_t in = weight.in;
  Tensor codes = Tensor::on_host(DType::i8, {weight.out, in});
  for (int64_t row = 0; row < weight.out; ++row) {
    sparse24_expand(weight.parts[kQdata].data<int8_t>() + row * (in / 2),
                    weight.parts[kMetadata].data<uint8_t>() + row * sparse24_metadata_bytes(in), in,
                    codes.data<int8_t>() + row * in);
  }
  return codes;
}

std::vector<float> Sparse24Int8DqScheme::unpack(const PackedWeight& weight) const {
  const Tensor dense = codes(weight);
  const auto* scale = weight.parts[kScale].data<float>();
  std::vector<float> values(static_cast<size_t>(dense.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] =
        static_cast<float>(dense.data<int8_t>()[i]) * scale[i / static_cast<size_t>(weight.in)];
  }
  return values;
}

void Sparse24Int8DqScheme::check(const PackedWeight& weight, std::string_view name) const {
  Scheme::check(weight, name);
  const int64_t bytes = sparse24_metadata_bytes(weight.in);
  for (int64_t row = 0; row < weight.out; ++row) {
    const int64_t bad =
        sparse24_bad_group(weight.parts[kMetadata].data<uint8_t>() + row * bytes, weight.in);
    if (bad >= 0)
      fail(ErrorCode::corrupt_file,
           "weight {}, its metadata of row {}, group {}: expected two rising positions", name, row,
           bad);
  }
}

std::vector<float> Sparse24Int8DqScheme::pack_bound(const Tensor& weight) const {
  const Tensor dense = as_bf16_values(weight), kept = pruned(dense);
  std::vector<float> bound = row_bounds(kept, s8_bounds);
  const std::vector<float> before = to_floats(weight);
  for (size_t i = 0; i < bound.size(); ++i) bound[i] += std::abs(before[i] - kept.data<float>()[i]);
  return bound;
}

std::vector<float> Sparse24Int8DqScheme::input_bound(const Tensor& x) const {
  return row_bounds(x, s8_bounds);
}

}  // namespace fluxq
