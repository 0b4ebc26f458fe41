/// Integer arithmetic on sizes read from outside: an overflow is an error, never a wrapped value.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace fluxq {

/// a * b, or corrupt_file naming `what` when the product does not fit in 64 bits.
inline uint64_t checked_mul(uint64_t a, uint64_t b, std::string_view what) {
  uint64_t result;
  if (__builtin_mul_overflow(a, b, &result))
    fail(ErrorCode::corrupt_file, "{}: {} x {} overflows 64 bits", what, a, b);
  return result;
}

/// a + b, or corrupt_file naming `what` when the sum does not fit in 64 bits.
inline uint64_t checked_add(uint64_t a, uint64_t b, std::string_view what) {
  uint64_t result;
  if (__builtin_add_overflow(a, b, &result))
    fail(ErrorCode::corrupt_file, "{}: {} + {} overflows 64 bits", what, a, b);
  return result;
}

}  // namespace fluxq
