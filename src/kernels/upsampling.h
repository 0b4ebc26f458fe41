/// Convolving a doubled picture without doubling it. After nearest-neighbour upsampling, an output
/// pixel sees each pixel of x under two taps of its 3 x 3 kernel in a row or column, or under one:
/// so each of its four phases (even or odd row and column) is a 2 x 2 convolution of x itself, by
/// sums of those taps, with 4/9 of the products. In bf16 the sums are rounded once more, by less
/// than the results are.
#pragma once

#include "tensor/tensor.h"

namespace fluxq {

constexpr int64_t kPhases = 4;  ///< in order (row, col): (0, 0), (0, 1), (1, 0), (1, 1)

/// The weight [out, in, 2, 2] of phase (row, col), from weight [out, in, 3, 3]; both f32, on the
/// host. The phase's first pixel sees x from row `row - 1` and column `col - 1` on.
Tensor phase_weight(const Tensor& weight, int64_t row, int64_t col);

}  // namespace fluxq
