/// GroupNorm (+ SiLU), channels last, in two parallel passes over the picture: each channel's sum
/// and sum of squares over fixed pieces of it, in double (the product of two floats is exact there,
/// so that one pass is enough), then (value - mean) * factor + bias for each value. Which sums are
/// added in which order depends on the picture's size only.
#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/row_values.h"
#include "kernels/cpu/simd.h"
#include "kernels/operands.h"

namespace fluxq {
namespace {

constexpr int64_t kElementsPerPiece = 65536;

template <typename T>
FLUXQ_SIMD void add_pixels(const T* x, int64_t pixels, int64_t channels, double* sums,
                           double* squares) {
  for (int64_t pixel = 0; pixel < pixels; ++pixel, x += channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      const double v = cpu::to_float(x[c]);
      sums[c] += v;
      squares[c] += v * v;
    }
  }
}

template <typename T>
FLUXQ_SIMD void normalize_pixels(const T* x, int64_t pixels, int64_t channels, const float* means,
                                 const float* factors, const float* bias, bool silu, T* out) {
  for (int64_t pixel = 0; pixel < pixels; ++pixel, x += channels, out += channels) {
    if (silu) {
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) {
        const float v = (cpu::to_float(x[c]) - means[c]) * factors[c] + bias[c];
        out[c] = cpu::round_to<T>(v * cpu::sigmoid_of(v));
      }
    } else {
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c)
        out[c] = cpu::round_to<T>((cpu::to_float(x[c]) - means[c]) * factors[c] + bias[c]);
    }
  }
}

/// A picture's channels' totals: sums [C], then squares [C].
void add_up(const double* parts, int64_t pieces, int64_t channels, double* totals) {
  std::fill_n(totals, 2 * channels, 0.0);
  for (int64_t piece = 0; piece < pieces; ++piece)
    for (int64_t i = 0; i < 2 * channels; ++i) totals[i] += parts[piece * 2 * channels + i];
}

void find_factors(const double* totals, int64_t pixels, int64_t channels, int64_t groups,
                  const float* weight, float eps, float* means, float* factors) {
  const int64_t width = channels / groups;
  const auto count = static_cast<double>(pixels * width);
  for (int64_t first = 0; first < channels; first += width) {
    double sum = 0, squares = 0;
    for (int64_t c = first; c < first + width; ++c) {
      sum += totals[c];
      squares += totals[channels + c];
    }
    const double mean = sum / count;
    const double variance = squares / count - mean * mean;
    // Below zero only by rounding; NaN stays.
    const double inverse = 1 / std::sqrt((variance < 0 ? 0 : variance) + eps);
    for (int64_t c = first; c < first + width; ++c) {
      means[c] = static_cast<float>(mean);
      factors[c] = static_cast<float>(weight[c] * inverse);
    }
  }
}

template <typename T>
void run(CpuKernels& kernels, const Tensor& x, int64_t groups, const float* weight,
         const float* bias, float eps, bool silu, const Tensor& out) {
  const int64_t batch = x.dim(0), pixels = x.dim(1) * x.dim(2), channels = x.dim(3);
  const int64_t piece_pixels = std::max<int64_t>(1, kElementsPerPiece / channels);
  const int64_t pieces = (pixels + piece_pixels - 1) / piece_pixels;
  const auto first_pixel = [&](int64_t piece) {
    return piece / pieces * pixels + piece % pieces * piece_pixels;
  };
  const auto pixels_of = [&](int64_t piece) {
    return std::min(piece_pixels, pixels - piece % pieces * piece_pixels);
  };
  Arena& arena = kernels.arena();
  const Tensor parts = arena.take(DType::f64, {batch * pieces + 1, 2 * channels});
  auto* sums = static_cast<double*>(parts.raw());
  kernels.pool().parallel_for(batch * pieces, [&](int64_t piece, int) {
    double* mine = sums + piece * 2 * channels;
    std::fill_n(mine, 2 * channels, 0.0);
    add_pixels(x.data<T>() + first_pixel(piece) * channels, pixels_of(piece), channels, mine,
               mine + channels);
  });

  const Tensor tables = arena.take(DType::f32, {batch, 2, channels});
  for (int64_t b = 0; b < batch; ++b) {
    double* totals = sums + batch * pieces * 2 * channels;
    add_up(sums + b * pieces * 2 * channels, pieces, channels, totals);
    float* means = tables.data<float>() + b * 2 * channels;
    find_factors(totals, pixels, channels, groups, weight, eps, means, means + channels);
  }
  kernels.pool().parallel_for(batch * pieces, [&](int64_t piece, int) {
    const float* means = tables.data<float>() + piece / pieces * 2 * channels;
    const int64_t first = first_pixel(piece) * channels;
    normalize_pixels(x.data<T>() + first, pixels_of(piece), channels, means, means + channels, bias,
                     silu, out.data<T>() + first);
  });
}

}  // namespace

void CpuKernels::group_norm(const Tensor& x, int64_t groups, const Tensor& weight,
                            const Tensor& bias, float eps, bool silu, const Tensor& out) {
  check_group_norm(x, groups, weight, bias, out);
  const Arena::Scope scope(arena_);
  const int64_t channels = x.dim(3);
  const Tensor buffer = arena_.take(DType::f32, {2, channels});
  const float* weights =
      cpu::as_floats(weight.raw(), weight.dtype(), channels, buffer.data<float>());
  const float* biases =
      cpu::as_floats(bias.raw(), bias.dtype(), channels, buffer.data<float>() + channels);
  if (x.dtype() == DType::bf16)
    run<bf16>(*this, x, groups, weights, biases, eps, silu, out);
  else
    run<float>(*this, x, groups, weights, biases, eps, silu, out);
}

}  // namespace fluxq
