/// From the name of an attention's precision, as users write it, to what kernels know.
#pragma once

#include <string>

#include "kernels/kernels.h"

namespace fluxq {

/// `name`: "bf16", "fp8" or "int8". Errors: bad_argument for another one, with near matches;
/// unsupported for 8 bits on a device that has no kernels for them.
AttentionPrecision attention_precision(const std::string& name, Device device);

}  // namespace fluxq
