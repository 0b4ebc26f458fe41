/// How far a quantized run's latents have left the baseline's.
#pragma once

#include <span>

namespace fluxq {

/// |value - reference| / |reference| in the Euclidean norm, summed in double; both hold the latents
/// of one picture after one step, in the same order. bad_argument naming both sizes if they differ
/// or are 0; Error(numeric), naming the index, for a value that is not finite, or if the reference
/// is zero throughout and `value` is not (both zero: 0).
double relative_drift(std::span<const float> value, std::span<const float> reference);

}  // namespace fluxq
