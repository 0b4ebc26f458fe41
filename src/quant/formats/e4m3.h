/// The 8-bit float e4m3 ("e4m3fn" of the OCP 8-bit floating point specification): 1 sign bit, 4
/// exponent bits of bias 7, 3 fraction bits. No infinities; 0x7f and 0xff are NaN. Largest value
/// 448, smallest normal 2^-6, subnormal step 2^-9. Every e4m3 value is a bf16 value too, which is
/// how processors without e4m3 multiply it.
///
/// Scale and codes follow torchao 0.18 (`_choose_scale_float8`, `_quantize_affine_float8`) for bf16
/// tensors bit for bit, except that a scale of zero, which makes NaN there, is 1 here. Inputs are
/// floats that hold bf16 values.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace fluxq {

inline constexpr float kE4m3Max = 448.0f;

/// The scale that maps magnitudes up to `amax` onto e4m3: amax / 448, rounded to bf16 as the values
/// are. 1 where that is zero (an all-zero row, or one below 2^-125); NaN unless amax is finite.
float e4m3_scale(float amax);

/// The e4m3 codes of x[i] / scale: nearest, ties to even, clamped to +-448. All 0 for a NaN scale.
void e4m3_encode(const float* x, int64_t count, float scale, uint8_t* codes);

/// The same as values instead of codes.
void e4m3_encode(const float* x, int64_t count, float scale, bf16* values);

/// Either of them with the row's own scale, e4m3_scale(absmax(x)), which is returned.
float e4m3_quantize(const float* x, int64_t count, uint8_t* codes);
float e4m3_quantize(const float* x, int64_t count, bf16* values);

/// The value of a code, exact.
float e4m3_decode(uint8_t code);
/// The values of a tensor of codes, exact, as bf16.
Tensor e4m3_values(const Tensor& codes);

/// How far each value of a row, quantized with its own scale, may be from x[i]: half a step of e4m3
/// at x[i] / scale.
void e4m3_bounds(const float* x, int64_t count, float* bounds);

}  // namespace fluxq
