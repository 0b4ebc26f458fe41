#include "metrics/psnr.h"

#include <cmath>
#include <limits>

#include "image/check.h"

namespace fluxq {

double psnr(const Image& a, const Image& b) {
  check_same_size(a, b, "PSNR");
  uint64_t sum = 0;  // at most 255^2 * 3 * kMaxPixels < 2^44
  for (size_t i = 0; i < a.rgb.size(); ++i) {
    const int difference = a.rgb[i] - b.rgb[i];
    sum += static_cast<uint64_t>(difference * difference);
  }
  if (sum == 0) return std::numeric_limits<double>::infinity();
  const double mean = static_cast<double>(sum) / static_cast<double>(a.rgb.size());
  return 10 * std::log10(255.0 * 255.0 / mean);
}

}  // namespace fluxq
