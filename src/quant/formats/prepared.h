/// What all devices' prepare() and dequantize() have in common.
#pragma once

#include <vector>

#include "quant/scheme.h"

namespace fluxq {

/// prepare() of a scheme that does not quantize its input: the producer's value in `stream`, or the
/// producer's own tensor when it is nothing more.
Prepared prepare_as_is(Kernels& kernels, const Producer& input, DType stream);

/// codes * scale, in f32: [batch, rows, cols] of codes and scales on the host. Codes are f32, bf16,
/// i8 or e4m3.
std::vector<float> values_of(const Prepared& input);

}  // namespace fluxq
