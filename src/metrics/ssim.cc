#include "metrics/ssim.h"

#include <algorithm>

#include "image/check.h"
#include "metrics/plane.h"

namespace fluxq {
namespace {

constexpr int kRadius = kMinSsimSide / 2;
constexpr int kBandRows = 64;  // of output made at a time: bounds the memory for any size
constexpr double kC1 = (0.01 * 255) * (0.01 * 255);
constexpr double kC2 = (0.03 * 255) * (0.03 * 255);

// The sum of SSIM over `rows` rows of windows, the first at the picture's row `top`.
double sum_of_band(const Image& a, const Image& b, int channel, int top, int rows,
                   std::span<const double> window) {
  Plane x(a.width, rows + 2 * kRadius), y = x, xx = x, yy = x, xy = x;
  for (size_t i = 0, at = static_cast<size_t>(top) * a.width * 3 + channel; i < x.values.size();
       ++i, at += 3) {
    const double p = a.rgb[at], q = b.rgb[at];
    x.values[i] = p;
    y.values[i] = q;
    xx.values[i] = p * p;
    yy.values[i] = q * q;
    xy.values[i] = p * q;
  }
  for (Plane* plane : {&x, &y, &xx, &yy, &xy})
    *plane = filter_columns(filter_rows(*plane, window), window);
  double sum = 0;
  for (size_t i = 0; i < x.values.size(); ++i) {
    const double ux = x.values[i], uy = y.values[i];
    const double vx = xx.values[i] - ux * ux, vy = yy.values[i] - uy * uy;
    const double vxy = xy.values[i] - ux * uy;
    sum += (2 * ux * uy + kC1) * (2 * vxy + kC2) / ((ux * ux + uy * uy + kC1) * (vx + vy + kC2));
  }
  return sum;
}

}  // namespace

double ssim(const Image& a, const Image& b) {
  check_same_size(a, b, "SSIM");
  if (std::min(a.width, a.height) < kMinSsimSide)
    fail(ErrorCode::bad_argument, "SSIM: expected sides of at least {} pixels, got {} x {}",
         kMinSsimSide, a.width, a.height);
  const std::vector<double> window = gaussian_kernel(1.5, kRadius);
  const int rows = a.height - 2 * kRadius;
  double sum = 0;
  for (int channel = 0; channel < 3; ++channel)
    for (int top = 0; top < rows; top += kBandRows)
      sum += sum_of_band(a, b, channel, top, std::min(kBandRows, rows - top), window);
  return sum / (3.0 * rows * (a.width - 2 * kRadius));
}

}  // namespace fluxq
