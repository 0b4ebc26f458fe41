/// How tests of numbers compare: by a tolerance for each value, which a test derives from the
/// arithmetic, with NaN and missing values refused by construction. Used by tests only.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"

namespace fluxq::testing {

/// The GPU's kernels. Under FLUXQ_SCRATCH_APART=1 compute-sanitizer sees what is done beyond the
/// end of a piece of scratch memory (Arena::keep_apart).
inline std::unique_ptr<Kernels> make_gpu_under_test() {
  std::unique_ptr<Kernels> kernels = make_cuda_kernels();
  const char* apart = std::getenv("FLUXQ_SCRATCH_APART");
  if (apart && std::string_view(apart) == "1") kernels->arena().keep_apart();
  return kernels;
}

/// Half the distance from 1 to the next number of the dtype: the largest relative error of rounding
/// to it.
inline double half_ulp(DType dtype) { return dtype == DType::bf16 ? 0x1p-8 : 0x1p-24; }

/// Whether |got[i] - expected[i]| <= tolerance[i] for every i. A NaN or infinity anywhere and
/// lengths that differ are failures; so are no values at all.
inline ::testing::AssertionResult within(const std::vector<double>& got,
                                         const std::vector<double>& expected,
                                         const std::vector<double>& tolerance) {
  if (got.size() != expected.size() || got.size() != tolerance.size() || got.empty())
    return ::testing::AssertionFailure()
           << got.size() << " values for " << expected.size() << " expected ones and "
           << tolerance.size() << " tolerances";
  size_t bad = 0, worst = 0;
  double worst_excess = -INFINITY;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(got[i] - expected[i]);
    const bool fits = std::isfinite(error) && std::isfinite(tolerance[i]) && error <= tolerance[i];
    if (fits) continue;
    const double excess = std::isfinite(error) ? error - tolerance[i] : INFINITY;
    if (bad++ == 0 || excess > worst_excess) worst = i, worst_excess = excess;
  }
  if (bad == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << bad << " of " << got.size() << " values differ; worst at " << worst << ": got "
         << got[worst] << ", expected " << expected[worst] << " within " << tolerance[worst];
}

inline std::vector<double> values(const Tensor& host) {
  const std::vector<float> floats = to_floats(host);
  return {floats.begin(), floats.end()};
}

/// The same bits in the same places.
inline ::testing::AssertionResult same_bytes(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape() || a.bytes() == 0)
    return ::testing::AssertionFailure() << dtype_name(a.dtype()) << " " << to_string(a.shape())
                                         << " beside " << to_string(b.shape());
  const auto* left = static_cast<const std::byte*>(a.raw());
  const auto* right = static_cast<const std::byte*>(b.raw());
  const auto at = std::mismatch(left, left + a.bytes(), right).first - left;
  if (at == a.bytes()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "first different element " << at / dtype_bytes(a.dtype()) << " of " << a.elements();
}

/// Standard normal values from a seed, as `dtype` (f32 or bf16) holds them.
inline Tensor random_tensor(DType dtype, Shape shape, uint64_t seed, double scale = 1,
                            double offset = 0) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal;
  Tensor floats = Tensor::on_host(DType::f32, std::move(shape));
  for (int64_t i = 0; i < floats.elements(); ++i)
    floats.data<float>()[i] = static_cast<float>(offset + scale * normal(generator));
  return converted(floats, dtype);
}

}  // namespace fluxq::testing
