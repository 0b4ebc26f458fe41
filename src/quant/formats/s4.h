/// 4-bit integers in groups of 128 along a row, each group with a bf16 scale and a bf16 zero point
/// (the value of code 8): tinygemm's form.
///
/// Scale, zero point and codes follow torchao 0.18's `_choose_qparams_affine_tinygemm` and
/// `_quantize_affine_tinygemm` for bf16 tensors bit for bit, and the value of a code its
/// `_dequantize_affine_tinygemm`: every operation is rounded to bf16. Inputs are
/// floats that hold bf16 values.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace fluxq {

inline constexpr int64_t kS4Group = 128;

struct S4Scale {
  bf16 scale;       ///< positive
  bf16 zero_point;  ///< min + 8 scale
};

/// For values within +-2^126, so that neither their range nor 8 scales overflow.
S4Scale s4_scale(const float* x, int64_t count);

/// Codes 0..15.
void s4_encode(const float* x, int64_t count, S4Scale scale, uint8_t* codes);

/// (code - 8) * scale + zero_point.
void s4_decode(const uint8_t* codes, int64_t count, S4Scale scale, bf16* values);

/// How far each value of a group may be from x[i]: half a step, and the bf16 rounding of the
/// arithmetic.
void s4_bounds(const float* x, int64_t count, float* bounds);

/// Two codes to a byte as torchao's `Int4Tensor` keeps them: code - 8 as a two's complement nibble,
/// the even column in the low half.
void s4_store(const uint8_t* codes, int64_t count, uint8_t* packed);
void s4_load(const uint8_t* packed, int64_t count, uint8_t* codes);

}  // namespace fluxq
