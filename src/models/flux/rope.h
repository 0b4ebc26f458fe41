/// FLUX's positions: each token has three coordinates (0, row, column), zero for text, and each
/// takes its share of a head's dimensions as angles.
#pragma once

#include <array>

#include "tensor/tensor.h"

namespace fluxq {

/// Cosines and sines for [text | image] tokens, f32 [text_tokens + height * width, sum(axes) / 2,
/// 2] on the host: pair i of axis a is rotated by position / 10000^(2 i / axes[a]). Angles are
/// float64 as in diffusers' FluxPosEmbed. Image tokens lie in row order.
Tensor rope_table(const std::array<int64_t, 3>& axes, int64_t text_tokens, int64_t height,
                  int64_t width);

}  // namespace fluxq
