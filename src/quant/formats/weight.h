/// What packing has in common: reading a weight's values, refusing what is no number.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "quant/scheme.h"

namespace fluxq {

/// The weight [out, in] (f32, bf16 or f16, on the host) in `dtype` f32 or bf16. Error(numeric)
/// naming `name` and [row, column] of the first value that is NaN or Inf, or too large for bf16;
/// Error(internal) if it is not a matrix.
Tensor finite_weight(const Tensor& weight, DType dtype, std::string_view name);

/// The weight [out, in] rounded to bf16, as floats, for a scheme that quantizes: it starts from
/// what the bf16 model would multiply with. Error(numeric) as above, and also beyond +-2^126: there
/// the rounding of a scale can make the stored value, or a group's range, larger than a float
/// holds.
Tensor quantizable_weight(const Tensor& weight, std::string_view name);

/// The same for any values.
Tensor as_bf16_values(const Tensor& weight);

/// How far each element of `matrix` may be from what is stored of it: the rounding to bf16, and
/// what `bounds(row, count, out)` says of each row of bf16 values.
std::vector<float> row_bounds(const Tensor& matrix,
                              void (*bounds)(const float* x, int64_t count, float* out));

/// New tensors, on the host unless `allocate` says otherwise, for the parts that `scheme` declares.
/// Error(unsupported) if it refuses the shape.
PackedWeight empty_parts(const Scheme& scheme, int64_t out, int64_t in,
                         const std::function<Tensor(DType, Shape)>& allocate = Tensor::on_host);

}  // namespace fluxq
