/// Matrices that are hard to quantize, for the conformance suite.
#pragma once

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace fluxq::conformance {

struct Named {
  std::string name;
  Tensor values;
};

/// [rows, cols] of `dtype` with at(generator, row, col).
template <typename At>
Tensor matrix(DType dtype, int64_t rows, int64_t cols, uint64_t seed, const At& at) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal;
  Tensor floats = Tensor::on_host(DType::f32, {rows, cols});
  for (int64_t i = 0; i < floats.elements(); ++i)
    floats.data<float>()[i] = at(normal(generator), i / cols, i % cols);
  return converted(floats, dtype);
}

inline Tensor noise(DType dtype, int64_t rows, int64_t cols, uint64_t seed, float size = 1) {
  return matrix(dtype, rows, cols, seed, [=](float n, int64_t, int64_t) { return size * n; });
}

/// The largest magnitudes: of weights what every scheme takes (formats/weight.h), of inputs what
/// leaves room for a sum of codes that only one of its two scales has been applied to.
inline constexpr float kLargestWeight = 0x1p126f, kLargestInput = 0x1p96f;

/// One matrix per difficulty, and one whose rows have a different difficulty each.
inline std::vector<Named> difficult(DType dtype, int64_t rows, int64_t cols, uint64_t seed,
                                    float largest) {
  using At = float (*)(float, int64_t, int64_t);
  constexpr int64_t kKinds = 7;
  static constexpr std::pair<const char*, At> kinds[kKinds] = {
      {"normal", [](float n, int64_t, int64_t) { return 0.05f * n; }},
      {"outlier", [](float n, int64_t r, int64_t c) { return c == r % 3 ? -37.0f : 0.05f * n; }},
      {"constant", [](float, int64_t r, int64_t) { return r % 2 == 0 ? 0.3f : -1.7f; }},
      {"zero", [](float, int64_t, int64_t) { return 0.0f; }},
      {"denormal", [](float n, int64_t, int64_t) { return 1e-39f * n; }},
      {"wide",
       [](float n, int64_t, int64_t c) { return n * std::exp2f(-static_cast<float>(c % 20)); }},
      {"single", [](float, int64_t r, int64_t c) { return c == r ? 0.75f : 0.0f; }},
  };
  std::vector<Named> all;
  for (const auto& [name, at] : kinds) all.push_back({name, matrix(dtype, rows, cols, seed, at)});
  all.push_back({"largest", matrix(dtype, rows, cols, seed, [=](float n, int64_t, int64_t) {
                   return n > 0 ? largest : -largest;
                 })});
  all.push_back({"mixed rows", matrix(dtype, rows, cols, seed, [](float n, int64_t r, int64_t c) {
                   return kinds[r % kKinds].second(n, r, c);
                 })});
  return all;
}

}  // namespace fluxq::conformance
