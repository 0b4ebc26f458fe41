#include "metrics/flags.h"

#include <algorithm>

#include "image/check.h"

namespace fluxq {

bool is_black(const Image& image) {
  check_image(image, "picture to judge");
  return *std::max_element(image.rgb.begin(), image.rgb.end()) <= kFlatTolerance;
}

bool is_constant(const Image& image) {
  check_image(image, "picture to judge");
  for (size_t channel = 0; channel < 3; ++channel) {
    uint8_t low = 255, high = 0;
    for (size_t i = channel; i < image.rgb.size(); i += 3) {
      low = std::min(low, image.rgb[i]);
      high = std::max(high, image.rgb[i]);
    }
    if (high - low > kFlatTolerance) return false;
  }
  return true;
}

}  // namespace fluxq
