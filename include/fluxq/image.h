/// The picture that fluxq makes and compares: 8-bit sRGB, no alpha.
#pragma once

#include <cstdint>
#include <vector>

namespace fluxq {

struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  ///< [height, width, 3], rows from the top

  bool operator==(const Image&) const = default;
};

}  // namespace fluxq
