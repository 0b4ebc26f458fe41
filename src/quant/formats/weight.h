/// What packing has in common: reading a weight's values, refusing what is no number.
#pragma once

#include <string_view>
#include <vector>

#include "quant/scheme.h"

namespace fluxq {

/// The weight [out, in] (f32, bf16 or f16, on the host) in `dtype` f32 or bf16. Schemes with a bf16
/// stream quantize what the bf16 model would multiply with, so they start from bf16 values.
/// Error(numeric) naming `name` and [row, column] of the first value that is NaN or Inf, or too
/// large for bf16; Error(internal) if it is not a matrix.
Tensor finite_weight(const Tensor& weight, DType dtype, std::string_view name);

/// |w - bf16(w)| at each element: what finite_weight(..., bf16) changed (0 where it was bf16
/// already).
std::vector<float> bf16_rounding(const Tensor& weight);

/// New host tensors for the parts that `scheme` declares.
PackedWeight empty_parts(const Scheme& scheme, int64_t out, int64_t in);

}  // namespace fluxq
