/// Pictures that show nothing: what comes out when numbers went wrong. The benchmark counts them
/// and keeps them out of means.
#pragma once

#include "fluxq/image.h"

namespace fluxq {

/// How far values may lie apart and still count as one: a decoder's rounding of a flat latent.
constexpr int kFlatTolerance = 2;

/// No value above kFlatTolerance. bad_argument as check_image.
bool is_black(const Image& image);

/// In each channel the largest and smallest value are at most kFlatTolerance apart (black pictures
/// too). bad_argument as check_image.
bool is_constant(const Image& image);

}  // namespace fluxq
