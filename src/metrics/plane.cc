#include "metrics/plane.h"

#include <algorithm>
#include <cmath>

namespace fluxq {
namespace {

// out[x] = sum over i: weights[i] * sources[i][x]. Blocks keep their sums in registers.
void weighted_sum(std::span<const double* const> sources, std::span<const double> weights,
                  int width, double* out) {
  constexpr int kBlock = 8;
  int x = 0;
  for (; x + kBlock <= width; x += kBlock) {
    double sum[kBlock] = {};
    for (size_t i = 0; i < weights.size(); ++i)
      for (int j = 0; j < kBlock; ++j) sum[j] += weights[i] * sources[i][x + j];
    std::copy_n(sum, kBlock, out + x);
  }
  for (; x < width; ++x) {
    double sum = 0;
    for (size_t i = 0; i < weights.size(); ++i) sum += weights[i] * sources[i][x];
    out[x] = sum;
  }
}

}  // namespace

Plane filter_rows(const Plane& in, std::span<const double> kernel) {
  Plane out(in.width - static_cast<int>(kernel.size()) + 1, in.height);
  std::vector<const double*> sources(kernel.size());
  for (int y = 0; y < out.height; ++y) {
    for (size_t i = 0; i < kernel.size(); ++i) sources[i] = in.row(y) + i;
    weighted_sum(sources, kernel, out.width, out.row(y));
  }
  return out;
}

Plane filter_columns(const Plane& in, std::span<const double> kernel) {
  Plane out(in.width, in.height - static_cast<int>(kernel.size()) + 1);
  std::vector<const double*> sources(kernel.size());
  for (int y = 0; y < out.height; ++y) {
    for (size_t i = 0; i < kernel.size(); ++i) sources[i] = in.row(y + static_cast<int>(i));
    weighted_sum(sources, kernel, out.width, out.row(y));
  }
  return out;
}

std::vector<double> gaussian_kernel(double sigma, int radius) {
  std::vector<double> kernel;
  double sum = 0;
  for (int x = -radius; x <= radius; ++x) {
    kernel.push_back(std::exp(-0.5 * x * x / (sigma * sigma)));
    sum += kernel.back();
  }
  for (double& weight : kernel) weight /= sum;
  return kernel;
}

}  // namespace fluxq
