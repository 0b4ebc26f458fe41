/// One channel of numbers and the separable filter that the picture metrics are made of.
/// The filter is "valid": the output lacks a border as wide as the kernel's reach, so how a picture
/// goes on beyond its edge is for the caller to say (flip repeats the edge, ssim leaves it out).
#pragma once

#include <span>
#include <vector>

namespace fluxq {

struct Plane {
  Plane(int width, int height)
      : width(width), height(height), values(static_cast<size_t>(width) * height) {}

  double* row(int y) { return &values[static_cast<size_t>(y) * width]; }
  const double* row(int y) const { return &values[static_cast<size_t>(y) * width]; }

  int width, height;
  std::vector<double> values;  ///< [height, width]
};

/// out[y][x] = sum over i: kernel[i] * in[y][x + i]; width of `in` less kernel.size() - 1.
Plane filter_rows(const Plane& in, std::span<const double> kernel);

/// out[y][x] = sum over i: kernel[i] * in[y + i][x]; height of `in` less kernel.size() - 1.
Plane filter_columns(const Plane& in, std::span<const double> kernel);

/// exp(-x^2 / (2 sigma^2)) for x = -radius .. radius, scaled to the sum 1.
std::vector<double> gaussian_kernel(double sigma, int radius);

}  // namespace fluxq
