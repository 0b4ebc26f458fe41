/// Pictures made smaller, cut, and differences in colour.
#pragma once

#include <span>
#include <vector>

#include "fluxq/image.h"

namespace fluxq::report {

/// At most `max_side` pixels wide and high, each the mean of those it covers; never enlarged.
Image shrink(const Image& image, int max_side);

/// Each pixel `factor` times as wide and high (bad_argument below 1).
Image enlarge(const Image& image, int factor);

struct Region {
  int left = 0, top = 0, width = 0, height = 0;
};

/// bad_argument unless the region lies within the picture.
Image crop(const Image& image, const Region& region);

/// Where `map` [height, width] has its largest mean over a square of a quarter of the shorter side
/// (at least 16 pixels, or the whole of a smaller picture). The topmost, then leftmost of equals.
Region worst_region(std::span<const float> map, int width, int height);

/// A FLIP map in colour: black for 0 through violet and orange to pale yellow for 1, in equal steps
/// of the square root of FLIP, so that small differences show.
Image colour_map(std::span<const float> map, int width, int height);

/// The same scale as 24-bit colours: `count` of them, evenly over the square root of FLIP.
std::vector<uint32_t> colour_scale(int count);

}  // namespace fluxq::report
