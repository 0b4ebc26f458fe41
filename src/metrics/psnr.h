/// Peak signal-to-noise ratio.
#pragma once

#include "fluxq/image.h"

namespace fluxq {

/// 10 log10(255^2 / mean squared difference over all pixels and channels), in dB, as
/// skimage.metrics.peak_signal_noise_ratio. Equal pictures: +infinity (in JSON and CSV the writer
/// must say "identical", never a number). bad_argument naming both sizes if they differ.
double psnr(const Image& a, const Image& b);

}  // namespace fluxq
