/// Symmetric 8-bit integers with one scale per row.
///
/// Scale and codes follow torchao 0.18's `Int8Tensor.from_hp` (`choose_qparams_affine` and
/// `quantize_affine`, symmetric) for bf16 tensors bit for bit: the range is -128..127 and the scale
/// maps the largest magnitude to 127.5, so that +amax becomes 127 and -amax becomes -128. Inputs
/// are floats that hold bf16 values.
#pragma once

#include <cstdint>

namespace fluxq {

/// amax / 127.5 rounded to bf16 as the values are, at least 2^-23 (an all-zero row); NaN unless
/// amax is finite.
float s8_scale(float amax);

/// round(x[i] * (1 / scale)), ties to even, clamped to -128..127. All 0 for a NaN scale.
void s8_encode(const float* x, int64_t count, float scale, int8_t* codes);

/// The row's own scale and its codes: s8_encode with s8_scale(absmax(x)). Returns the scale.
float s8_quantize(const float* x, int64_t count, int8_t* codes);

/// How far each value of a row, quantized with its own scale, may be from x[i]: half a step, and
/// more above 127.5 steps, where +x[i] is clamped.
void s8_bounds(const float* x, int64_t count, float* bounds);

}  // namespace fluxq
