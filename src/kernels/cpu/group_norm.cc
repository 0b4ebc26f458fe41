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
// Tables of channels are repeated to about this length, for pictures of few channels: loops of 32
// spend their time on beginning and ending.
constexpr int64_t kTable = 256;

/// `count` elements from a pixel's first channel on; sums and squares [period], a multiple of the
/// channels.
template <typename T>
FLUXQ_SIMD void add_pixels(const T* x, int64_t count, int64_t period, double* sums,
                           double* squares) {
  for (; count > 0; x += period, count -= period) {
    const int64_t some = std::min(count, period);
#pragma omp simd
    for (int64_t i = 0; i < some; ++i) {
      const double v = cpu::to_float(x[i]);
      sums[i] += v;
      squares[i] += v * v;
    }
  }
}

// Rounding is a loop of its own: together they need more registers than there are.
template <typename T>
FLUXQ_SIMD void normalize_pixels(const T* x, int64_t count, int64_t period, const float* means,
                                 const float* factors, const float* bias, bool silu, T* out) {
  alignas(64) float buffer[kTable];
  float* v = buffer;
  for (int64_t begin = 0, some; begin < count; begin += some) {
    if constexpr (std::is_same_v<T, float>) v = out + begin;
    const int64_t place = begin % period;
    some = std::min({count - begin, period - place, kTable});
#pragma omp simd
    for (int64_t i = 0; i < some; ++i)
      v[i] =
          (cpu::to_float(x[begin + i]) - means[place + i]) * factors[place + i] + bias[place + i];
    if (silu) {
#pragma omp simd
      for (int64_t i = 0; i < some; ++i) v[i] *= cpu::sigmoid_of(v[i]);
    }
    if constexpr (!std::is_same_v<T, float>) {
#pragma omp simd
      for (int64_t i = 0; i < some; ++i) out[begin + i] = cpu::round_to<T>(v[i]);
    }
  }
}

/// A picture's channels' totals: sums [C], then squares [C]; parts [pieces, 2, period].
void add_up(const double* parts, int64_t pieces, int64_t period, int64_t channels, double* totals) {
  std::fill_n(totals, 2 * channels, 0.0);
  for (int64_t part = 0; part < 2 * pieces; ++part)
    for (int64_t i = 0; i < period; ++i)
      totals[part % 2 * channels + i % channels] += parts[part * period + i];
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
  const int64_t period = channels * std::max<int64_t>(1, kTable / channels);
  const int64_t piece_pixels = std::max<int64_t>(1, kElementsPerPiece / channels);
  const int64_t pieces = (pixels + piece_pixels - 1) / piece_pixels;
  const auto first_of = [&](int64_t piece) {  // element
    return (piece / pieces * pixels + piece % pieces * piece_pixels) * channels;
  };
  const auto count_of = [&](int64_t piece) {
    return std::min(piece_pixels, pixels - piece % pieces * piece_pixels) * channels;
  };
  Arena& arena = kernels.arena();
  const Tensor parts = arena.take(DType::f64, {batch * pieces, 2, period});
  auto* sums = static_cast<double*>(parts.raw());
  kernels.pool().parallel_for(batch * pieces, [&](int64_t piece, int) {
    double* mine = sums + piece * 2 * period;
    std::fill_n(mine, 2 * period, 0.0);
    add_pixels(x.data<T>() + first_of(piece), count_of(piece), period, mine, mine + period);
  });

  const Tensor tables = arena.take(DType::f32, {batch, 3, period});  // means, factors, bias
  const Tensor totals = arena.take(DType::f64, {2, channels});
  for (int64_t b = 0; b < batch; ++b) {
    auto* total = static_cast<double*>(totals.raw());
    add_up(sums + b * pieces * 2 * period, pieces, period, channels, total);
    float* table = tables.data<float>() + b * 3 * period;
    find_factors(total, pixels, channels, groups, weight, eps, table, table + period);
    std::copy_n(bias, channels, table + 2 * period);
    for (int64_t row = 0; row < 3; ++row, table += period)
      for (int64_t i = channels; i < period; ++i) table[i] = table[i - channels];
  }
  kernels.pool().parallel_for(batch * pieces, [&](int64_t piece, int) {
    const float* table = tables.data<float>() + piece / pieces * 3 * period;
    const int64_t first = first_of(piece);
    normalize_pixels(x.data<T>() + first, count_of(piece), period, table, table + period,
                     table + 2 * period, silu, out.data<T>() + first);
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
