/// From the name of an attention's precision, as users write it, to what kernels know.
#pragma once

#include <string>

#include "kernels/kernels.h"

namespace fluxq {

/// `name`: "bf16", "fp8" or "int8". Errors: bad_argument for another one, with near matches;
/// unsupported for 8 bits on a device that has no kernels for them.
AttentionPrecision attention_precision(const std::string& name, Device device);

/// What attention asked for as `name` is computed in: that, or "bf16", which means the stream's
/// dtype, where there are no kernels for 8 bits: these are for bf16 streams and heads of 128
/// columns. Errors as above.
std::string attention_that_runs(const std::string& name, Device device, DType stream,
                                int64_t head_dim);

/// For a warning, where that is not what was asked for.
std::string attention_fallback(const std::string& name);

}  // namespace fluxq
