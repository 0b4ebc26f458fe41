#include "report/picture_tools.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "image/check.h"

namespace fluxq::report {
namespace {

using Rgb = std::array<double, 3>;

// Lightness rises evenly, so that the map reads in grey as well.
constexpr std::array kStops = {Rgb{0, 0, 4},      Rgb{52, 16, 92},   Rgb{122, 31, 118},
                               Rgb{190, 55, 98},  Rgb{240, 105, 66}, Rgb{253, 178, 94},
                               Rgb{252, 250, 200}};

uint32_t colour_at(double position) {
  const double scaled = std::clamp(position, 0.0, 1.0) * (kStops.size() - 1);
  const size_t below = std::min(static_cast<size_t>(scaled), kStops.size() - 2);
  const double share = scaled - static_cast<double>(below);
  uint32_t colour = 0;
  for (size_t c = 0; c < 3; ++c) {
    const double value = kStops[below][c] + share * (kStops[below + 1][c] - kStops[below][c]);
    colour = colour << 8 | static_cast<uint32_t>(std::lround(value));
  }
  return colour;
}

// What one output pixel takes from a row or column of input pixels.
struct Span {
  int first;
  std::vector<double> weights;  // their sum is 1
};

std::vector<Span> spans(int from, int to) {
  std::vector<Span> result;
  const double step = static_cast<double>(from) / to;
  for (int i = 0; i < to; ++i) {
    const double begin = i * step, end = std::min((i + 1) * step, static_cast<double>(from));
    Span span{static_cast<int>(begin), {}};
    for (int x = span.first; x < end && x < from; ++x)
      span.weights.push_back((std::min(end, x + 1.0) - std::max(begin, static_cast<double>(x))) /
                             step);
    result.push_back(std::move(span));
  }
  return result;
}

}  // namespace

Image shrink(const Image& image, int max_side) {
  check_image(image, "picture to shrink");
  const int longest = std::max(image.width, image.height);
  if (max_side < 1 || longest <= max_side) return image;
  const auto scaled = [&](int side) {
    return std::max(1, static_cast<int>(std::lround(double(side) * max_side / longest)));
  };
  Image small{scaled(image.width), scaled(image.height), {}};
  const std::vector<Span> across = spans(image.width, small.width),
                          down = spans(image.height, small.height);
  small.rgb.reserve(static_cast<size_t>(small.width) * small.height * 3);
  std::vector<double> row(static_cast<size_t>(image.width) * 3);
  for (const Span& vertical : down) {
    std::fill(row.begin(), row.end(), 0);
    for (size_t i = 0; i < vertical.weights.size(); ++i) {
      const uint8_t* source = &image.rgb[(vertical.first + i) * row.size()];
      for (size_t x = 0; x < row.size(); ++x) row[x] += vertical.weights[i] * source[x];
    }
    for (const Span& horizontal : across)
      for (size_t c = 0; c < 3; ++c) {
        double sum = 0;
        for (size_t i = 0; i < horizontal.weights.size(); ++i)
          sum += horizontal.weights[i] * row[(horizontal.first + i) * 3 + c];
        small.rgb.push_back(static_cast<uint8_t>(std::clamp(std::lround(sum), 0L, 255L)));
      }
  }
  return small;
}

Image enlarge(const Image& image, int factor) {
  check_image(image, "picture to enlarge");
  if (factor < 1)
    fail(ErrorCode::bad_argument, "enlarge: expected a factor above 0, got {}", factor);
  Image large{image.width * factor, image.height * factor, {}};
  for (int y = 0; y < large.height; ++y)
    for (int x = 0; x < large.width; ++x) {
      const size_t from = (static_cast<size_t>(y / factor) * image.width + x / factor) * 3;
      large.rgb.insert(large.rgb.end(), &image.rgb[from], &image.rgb[from] + 3);
    }
  check_image(large, "enlarged picture");
  return large;
}

Image crop(const Image& image, const Region& region) {
  check_image(image, "picture to cut");
  if (region.left < 0 || region.top < 0 || region.width < 1 || region.height < 1 ||
      region.width > image.width - region.left || region.height > image.height - region.top)
    fail(ErrorCode::bad_argument, "region {} x {} at {}, {}: expected within {} x {}", region.width,
         region.height, region.left, region.top, image.width, image.height);
  Image cut{region.width, region.height, {}};
  for (int y = 0; y < region.height; ++y) {
    const auto begin = image.rgb.begin() +
                       (static_cast<ptrdiff_t>(region.top + y) * image.width + region.left) * 3;
    cut.rgb.insert(cut.rgb.end(), begin, begin + static_cast<ptrdiff_t>(region.width) * 3);
  }
  return cut;
}

Region worst_region(std::span<const float> map, int width, int height) {
  if (width < 1 || height < 1 || map.size() != static_cast<size_t>(width) * height)
    fail(ErrorCode::bad_argument, "difference map: expected {} x {} values, got {}", width, height,
         map.size());
  const int shorter = std::min(width, height);
  const int side = std::min(shorter, std::max(16, shorter / 4));
  // sums[y][x]: of all values above and to the left.
  const size_t stride = static_cast<size_t>(width) + 1;
  std::vector<double> sums(stride * (static_cast<size_t>(height) + 1));
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      sums[(y + 1) * stride + x + 1] = map[static_cast<size_t>(y) * width + x] +
                                       sums[y * stride + x + 1] + sums[(y + 1) * stride + x] -
                                       sums[y * stride + x];
  Region worst{0, 0, side, side};
  double most = -1;
  for (int y = 0; y + side <= height; ++y)
    for (int x = 0; x + side <= width; ++x) {
      const double sum = sums[(y + side) * stride + x + side] - sums[y * stride + x + side] -
                         sums[(y + side) * stride + x] + sums[y * stride + x];
      if (sum > most + 1e-9) {
        most = sum;
        worst.left = x;
        worst.top = y;
      }
    }
  return worst;
}

Image colour_map(std::span<const float> map, int width, int height) {
  static const std::vector<uint32_t> kColours = colour_scale(256);
  Image image{width, height, {}};
  image.rgb.reserve(map.size() * 3);
  for (const float value : map) {
    const double position = value > 0 ? std::sqrt(std::min(1.0, static_cast<double>(value))) : 0;
    const uint32_t colour = kColours[static_cast<size_t>(std::lround(position * 255))];
    for (const int shift : {16, 8, 0})
      image.rgb.push_back(static_cast<uint8_t>(colour >> shift & 255));
  }
  check_image(image, "difference map");
  return image;
}

std::vector<uint32_t> colour_scale(int count) {
  std::vector<uint32_t> colours;
  for (int i = 0; i < count; ++i)
    colours.push_back(colour_at(count > 1 ? static_cast<double>(i) / (count - 1) : 0));
  return colours;
}

}  // namespace fluxq::report
