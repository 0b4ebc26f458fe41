/// What every function that takes an Image from outside asks of it first.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "fluxq/image.h"

namespace fluxq {

/// The most pixels of any picture that fluxq reads, writes or compares: 8192 x 8192.
constexpr int64_t kMaxPixels = int64_t{1} << 26;

/// bad_argument unless both sides are positive, there are at most kMaxPixels pixels and `rgb` has
/// width x height x 3 bytes.
inline void check_image(const Image& image, std::string_view what) {
  const int64_t pixels = int64_t{image.width} * image.height;
  if (image.width <= 0 || image.height <= 0 || pixels > kMaxPixels)
    fail(ErrorCode::bad_argument, "{}: expected 1 to {} pixels, got {} x {}", what, kMaxPixels,
         image.width, image.height);
  if (image.rgb.size() != static_cast<size_t>(pixels) * 3)
    fail(ErrorCode::bad_argument, "{}, {} x {} pixels: expected {} bytes, got {}", what,
         image.width, image.height, pixels * 3, image.rgb.size());
}

/// As check_image for both, and bad_argument naming both sizes unless they are the same.
inline void check_same_size(const Image& a, const Image& b, std::string_view what) {
  check_image(a, what);
  check_image(b, what);
  if (a.width != b.width || a.height != b.height)
    fail(ErrorCode::bad_argument, "{}: expected two pictures of one size, got {} x {} and {} x {}",
         what, a.width, a.height, b.width, b.height);
}

}  // namespace fluxq
