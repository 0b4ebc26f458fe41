// The picture is worked on in bands of rows, each read with a border (the edge repeated) as wide as
// the filters reach. All is in double: the last root of the feature part turns a rounding error of
// 1e-7 into 3e-4. (The authors' tool computes in float and has that error on flat pictures.)
#include "metrics/flip.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "image/check.h"
#include "metrics/plane.h"

namespace fluxq {
namespace {

using std::numbers::pi;
using Triple = std::array<double, 3>;
using Matrix = std::array<Triple, 3>;

constexpr double kPixelsPerDegree = 0.7 * (3840 / 0.7) * (pi / 180);
constexpr int kBandRows = 64;

// Linear sRGB to CIE XYZ under D65, and back (the inverse is computed).
constexpr Matrix kXyzFromRgb = {
    {{10135552.0 / 24577794, 8788810.0 / 24577794, 4435075.0 / 24577794},
     {2613072.0 / 12288897, 8788810.0 / 12288897, 887015.0 / 12288897},
     {1425312.0 / 73733382, 8788810.0 / 73733382, 70074185.0 / 73733382}}};

constexpr Matrix inverse(const Matrix& m) {
  const auto minor = [&](int r, int c) {
    const int r1 = (r + 1) % 3, r2 = (r + 2) % 3, c1 = (c + 1) % 3, c2 = (c + 2) % 3;
    return m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1];
  };
  const double determinant = m[0][0] * minor(0, 0) + m[0][1] * minor(0, 1) + m[0][2] * minor(0, 2);
  Matrix result{};
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) result[r][c] = minor(c, r) / determinant;
  return result;
}

constexpr Triple operator*(const Matrix& m, const Triple& v) {
  Triple result{};
  for (int r = 0; r < 3; ++r) result[r] = m[r][0] * v[0] + m[r][1] * v[1] + m[r][2] * v[2];
  return result;
}

// XYZ relative to white (1, 1, 1): each row of the matrix over its sum.
constexpr Matrix relative_to_white(Matrix m) {
  for (Triple& row : m) {
    const double white = row[0] + row[1] + row[2];
    for (double& value : row) value /= white;
  }
  return m;
}

constexpr Matrix kFromRgb = relative_to_white(kXyzFromRgb);
constexpr Matrix kToRgb = inverse(kFromRgb);

// IEC 61966-2-1.
std::array<double, 256> srgb_to_linear() {
  std::array<double, 256> table;
  for (int i = 0; i < 256; ++i) {
    const double v = i / 255.0;
    table[i] = v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
  }
  return table;
}

// CIE L*a*b* of XYZ relative to white, a and b scaled by 0.01 L (Hunt: colour fades in the dark).
Triple hunt_adjusted_lab(const Triple& xyz) {
  constexpr double kDelta = 6.0 / 29;
  Triple f;
  for (int i = 0; i < 3; ++i)
    f[i] = xyz[i] > kDelta * kDelta * kDelta ? std::cbrt(xyz[i])
                                             : xyz[i] / (3 * kDelta * kDelta) + 4.0 / 29;
  const double lightness = 116 * f[1] - 16;
  return {lightness, 0.01 * lightness * 500 * (f[0] - f[1]),
          0.01 * lightness * 200 * (f[1] - f[2])};
}

// Abasi, Tehran, Fairchild, "Distance metrics for very large color differences" (2020), to the
// power 0.7.
double colour_distance(const Triple& a, const Triple& b) {
  const double da = a[1] - b[1], db = a[2] - b[2];
  return std::pow(std::abs(a[0] - b[0]) + std::sqrt(da * da + db * db), 0.7);
}

// The largest distance (green to blue) becomes 1, and 0.4 of it 0.95.
double rescaled(double distance) {
  static const double kLargest = colour_distance(hunt_adjusted_lab(kFromRgb * Triple{0, 1, 0}),
                                                 hunt_adjusted_lab(kFromRgb * Triple{0, 0, 1}));
  const double knee = 0.4 * kLargest;
  if (distance < knee) return 0.95 * distance / knee;
  return 0.95 + 0.05 * (distance - knee) / (kLargest - knee);
}

// One of the eye's contrast sensitivity functions, as a sum of Gaussians of the distance in
// degrees: amplitude * sqrt(pi / b) * exp(-pi^2 x^2 / b).
struct Gaussian {
  double amplitude, b;
};

constexpr Gaussian kLuminance = {1, 0.0047}, kRedGreen = {1, 0.0053};
constexpr Gaussian kBlueYellow = {34.1, 0.04}, kBlueYellowNarrow = {13.5, 0.025};

struct Filters {
  int radius = 0;  // of all kernels up to blue_yellow_narrow
  std::vector<double> luminance, red_green, blue_yellow, blue_yellow_narrow;
  double wide_share = 0;  // of blue_yellow in the sum of both; the rest is the narrow one's
  int feature_radius = 0;
  std::vector<double> smooth, edge, point;
};

// Scales positive weights to the sum 1 and negative ones to the sum -1.
void balance(std::vector<double>& kernel) {
  double positive = 0, negative = 0;
  for (const double weight : kernel) (weight > 0 ? positive : negative) += weight;
  for (double& weight : kernel) weight /= weight > 0 ? positive : -negative;
}

Filters make_filters() {
  Filters filters;
  const auto sigma = [](const Gaussian& g) {
    return std::sqrt(g.b / (2 * pi * pi)) * kPixelsPerDegree;
  };
  const int radius = filters.radius = static_cast<int>(std::ceil(3 * sigma(kBlueYellow)));
  filters.luminance = gaussian_kernel(sigma(kLuminance), radius);
  filters.red_green = gaussian_kernel(sigma(kRedGreen), radius);
  filters.blue_yellow = gaussian_kernel(sigma(kBlueYellow), radius);
  filters.blue_yellow_narrow = gaussian_kernel(sigma(kBlueYellowNarrow), radius);
  // What the unscaled 2D Gaussian sums to: the kernel's centre is 1 before gaussian_kernel scales.
  const auto volume = [&](const Gaussian& g, const std::vector<double>& kernel) {
    return g.amplitude * std::sqrt(pi / g.b) / (kernel[radius] * kernel[radius]);
  };
  const double wide = volume(kBlueYellow, filters.blue_yellow);
  filters.wide_share = wide / (wide + volume(kBlueYellowNarrow, filters.blue_yellow_narrow));

  const double feature_sigma = 0.5 * 0.082 * kPixelsPerDegree;
  filters.feature_radius = static_cast<int>(std::ceil(3 * feature_sigma));
  filters.smooth = gaussian_kernel(feature_sigma, filters.feature_radius);
  for (int x = -filters.feature_radius; x <= filters.feature_radius; ++x) {
    const double weight = filters.smooth[x + filters.feature_radius];
    filters.edge.push_back(-x * weight);
    filters.point.push_back((x * x / (feature_sigma * feature_sigma) - 1) * weight);
  }
  balance(filters.edge);
  balance(filters.point);
  return filters;
}

// What the eye compares, for the rows of one band.
struct Seen {
  std::vector<Triple> colour;       // Hunt-adjusted Lab
  std::vector<double> edge, point;  // strength of features
};

std::vector<double> strength(const Plane& horizontal, const Plane& vertical) {
  std::vector<double> result(horizontal.values.size());
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = std::sqrt(horizontal.values[i] * horizontal.values[i] +
                          vertical.values[i] * vertical.values[i]);
  return result;
}

// `plane` without a border of `width` pixels.
Plane inner(const Plane& plane, int width) {
  Plane result(plane.width - 2 * width, plane.height - 2 * width);
  for (int y = 0; y < result.height; ++y)
    std::copy_n(plane.row(y + width) + width, result.width, result.row(y));
  return result;
}

Seen see(const Image& image, int top, int rows, const Filters& filters) {
  static const std::array<double, 256> kLinear = srgb_to_linear();
  const int radius = filters.radius;
  // The opponent space YCxCz, without its scales and offset, which commute with the filters.
  Plane y(image.width + 2 * radius, rows + 2 * radius), cx = y, cz = y;
  for (int row = 0; row < y.height; ++row) {
    const int from = std::clamp(top + row - radius, 0, image.height - 1);
    const uint8_t* pixels = &image.rgb[static_cast<size_t>(from) * image.width * 3];
    for (int column = 0; column < y.width; ++column) {
      const uint8_t* pixel = pixels + 3 * std::clamp(column - radius, 0, image.width - 1);
      const Triple xyz = kFromRgb * Triple{kLinear[pixel[0]], kLinear[pixel[1]], kLinear[pixel[2]]};
      y.row(row)[column] = xyz[1];
      cx.row(row)[column] = xyz[0] - xyz[1];
      cz.row(row)[column] = xyz[1] - xyz[2];
    }
  }
  const auto both = [](const Plane& plane, const std::vector<double>& rows,
                       const std::vector<double>& columns) {
    return filter_columns(filter_rows(plane, rows), columns);
  };
  const Plane seen_y = both(y, filters.luminance, filters.luminance);
  const Plane seen_cx = both(cx, filters.red_green, filters.red_green);
  const Plane wide = both(cz, filters.blue_yellow, filters.blue_yellow);
  const Plane narrow = both(cz, filters.blue_yellow_narrow, filters.blue_yellow_narrow);

  Seen seen;
  seen.colour.resize(seen_y.values.size());
  for (size_t i = 0; i < seen.colour.size(); ++i) {
    const double luminance = seen_y.values[i];
    const double blue_yellow =
        filters.wide_share * wide.values[i] + (1 - filters.wide_share) * narrow.values[i];
    Triple rgb = kToRgb * Triple{luminance + seen_cx.values[i], luminance, luminance - blue_yellow};
    for (double& value : rgb) value = std::clamp(value, 0.0, 1.0);
    seen.colour[i] = hunt_adjusted_lab(kFromRgb * rgb);
  }

  const Plane luminance = inner(y, radius - filters.feature_radius);
  const Plane smooth = filter_rows(luminance, filters.smooth);
  seen.edge =
      strength(both(luminance, filters.edge, filters.smooth), filter_columns(smooth, filters.edge));
  seen.point = strength(both(luminance, filters.point, filters.smooth),
                        filter_columns(smooth, filters.point));
  return seen;
}

}  // namespace

Flip flip(const Image& reference, const Image& test) {
  check_same_size(reference, test, "FLIP");
  static const Filters kFilters = make_filters();
  Flip result{0, {}};
  result.map.reserve(reference.rgb.size() / 3);
  double sum = 0;
  for (int top = 0; top < reference.height; top += kBandRows) {
    const int rows = std::min(kBandRows, reference.height - top);
    const Seen a = see(reference, top, rows, kFilters), b = see(test, top, rows, kFilters);
    for (size_t i = 0; i < a.colour.size(); ++i) {
      const double colour = rescaled(colour_distance(a.colour[i], b.colour[i]));
      const double feature =
          std::sqrt(std::max(std::abs(a.edge[i] - b.edge[i]), std::abs(a.point[i] - b.point[i])) /
                    std::numbers::sqrt2);
      const double error = std::pow(colour, 1 - feature);
      sum += error;
      result.map.push_back(static_cast<float>(error));
    }
  }
  result.mean = sum / static_cast<double>(result.map.size());
  return result;
}

}  // namespace fluxq
