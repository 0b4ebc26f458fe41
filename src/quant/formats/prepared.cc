#include "quant/formats/prepared.h"

#include "quant/formats/e4m3.h"

namespace fluxq {
namespace {

bool is_plain(const Producer& input) {
  return input.kind == Producer::Kind::activate && input.act == Act::none && input.factor.empty() &&
         input.input_scale.empty();
}

float code_at(const Rows& codes, int64_t batch, int64_t row, int64_t col) {
  switch (codes.dtype) {
    case DType::f32:
      return codes.row<float>(batch, row)[col];
    case DType::bf16:
      return static_cast<float>(codes.row<bf16>(batch, row)[col]);
    case DType::i8:
      return codes.row<int8_t>(batch, row)[col];
    case DType::f8_e4m3:
      return e4m3_decode(codes.row<uint8_t>(batch, row)[col]);
    default:
      fail(ErrorCode::internal, "codes of type {}", dtype_name(codes.dtype));
  }
}

}  // namespace

Prepared prepare_as_is(Kernels& kernels, const Producer& input, DType stream) {
  if (is_plain(input) && input.x.dtype == stream) return {input.x, {}};
  const Rows& x = input.x;
  const Rows out = kernels.arena().take(stream, {x.batch, x.rows, x.cols});
  kernels.produce(input, out);
  return {out, {}};
}

std::vector<float> values_of(const Prepared& input) {
  const Rows& codes = input.codes;
  std::vector<float> values;
  values.reserve(static_cast<size_t>(codes.batch * codes.rows * codes.cols));
  for (int64_t b = 0; b < codes.batch; ++b) {
    for (int64_t r = 0; r < codes.rows; ++r) {
      float scale = 1;
      if (!input.scale.empty()) {
        const bool per_sample = input.scale.elements() != codes.batch * codes.rows;
        scale = input.scale.data<float>()[per_sample ? b : b * codes.rows + r];
      }
      for (int64_t c = 0; c < codes.cols; ++c) values.push_back(code_at(codes, b, r, c) * scale);
    }
  }
  return values;
}

}  // namespace fluxq
