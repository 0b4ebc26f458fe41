/// Structural similarity.
#pragma once

#include "fluxq/image.h"

namespace fluxq {

/// Sides below this have no SSIM: the window does not fit.
constexpr int kMinSsimSide = 11;

/// Mean SSIM of the three channels, 1 for equal pictures. Wang, Bovik, Sheikh, Simoncelli, "Image
/// quality assessment: from error visibility to structural similarity", IEEE TIP 13 (2004): 11 x 11
/// Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance, range 255. The same
/// as skimage.metrics.structural_similarity(a, b, channel_axis=2, data_range=255,
/// gaussian_weights=True, sigma=1.5, use_sample_covariance=False); its default, a flat 7 x 7
/// window, gives other figures. bad_argument naming both sizes if they differ, or if a side is
/// below kMinSsimSide.
double ssim(const Image& a, const Image& b);

}  // namespace fluxq
