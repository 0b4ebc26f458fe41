/// The largest magnitude of a row: what every dynamic scale starts from.
#pragma once

#include <cstdint>

namespace fluxq {

/// max |x[i]|, 0 for none. NaN if there is a NaN, Inf if there is an Inf and no NaN: magnitudes are
/// compared as bit patterns, in which both are larger than any number.
float absmax(const float* x, int64_t count);

}  // namespace fluxq
