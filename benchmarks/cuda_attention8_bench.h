/// What cuda_attention8_bench attends to: the inputs of a case, and the results in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "tensor/tensor.h"

namespace fluxq {

constexpr int64_t kDim = 128, kText = 256;
constexpr float kEps = 1e-6f;

struct AttentionCase {
  const char* data;
  int64_t heads, rows, row_elements;
  bool like_flux;  // else normal values, no rope
  bool timed = false;
  bool unit_values = false;  // v[i, i % 128] = 1: results are the weights
};

/// The qkv layer's output, norms and rope on the host. Like FLUX: text and picture have their own
/// norms with a few large columns, keys a common mean, values a few large columns; rotations of a
/// picture 64 wide.
class AttentionData {
 public:
  explicit AttentionData(const AttentionCase& c) : case_(c), cols_(c.heads * kDim) {
    std::mt19937_64 generator(7);
    std::normal_distribution<float> normal;
    wide = Tensor::on_host(DType::bf16, {1, c.rows, c.row_elements});
    std::vector<float> mean(static_cast<size_t>(3 * cols_)), spread(mean.size(), 1.0f);
    for (int64_t j = 0; j < 3 * cols_ && c.like_flux; ++j) {
      const auto at = static_cast<size_t>(j);
      if (j >= cols_ && j < 2 * cols_) mean[at] = 0.5f * normal(generator);
      if (j >= 2 * cols_) spread[at] = j % 61 == 0 ? 20.0f : std::exp(0.5f * normal(generator));
    }
    bf16* to = wide.data<bf16>();
    std::vector<float> noise(1000003);
    for (float& v : noise) v = normal(generator);
    for (int64_t i = 0, n = 0; i < c.rows; ++i)
      for (int64_t j = 0; j < c.row_elements; ++j, n = n + 1 == 1000003 ? 0 : n + 1) {
        const auto at = static_cast<size_t>(std::min(j, 3 * cols_ - 1));
        to[i * c.row_elements + j] = bf16(noise[static_cast<size_t>(n)] * spread[at] + mean[at]);
      }
    for (int64_t i = 0; i < c.rows && c.unit_values; ++i)
      for (int64_t j = 0; j < cols_; ++j)
        to[i * c.row_elements + 2 * cols_ + j] = bf16(j % kDim == i % kDim ? 1.0f : 0.0f);
    for (Tensor& weight : weights) {
      weight = Tensor::on_host(DType::bf16, {kDim});
      for (int64_t j = 0; j < kDim; ++j)
        weight.data<bf16>()[j] =
            bf16(c.like_flux ? (j % 29 == 3 ? 4.0f : std::exp(0.4f * normal(generator))) : 1.0f);
    }
    rope = Tensor::on_host(DType::f32, {c.rows, kDim / 2, 2});
    for (int64_t i = 0; i < c.rows; ++i)
      for (int64_t j = 0; j < kDim / 2; ++j) {
        const int64_t place = std::max<int64_t>(0, i - text());
        const int64_t axis = j < 8 ? 0 : j < 36 ? 1 : 2, first = axis == 0 ? 0 : axis == 1 ? 8 : 36;
        const double position =
            axis == 0 ? 0.0 : static_cast<double>(axis == 1 ? place / 64 : place % 64);
        const double angle =
            position * std::pow(1e4, -static_cast<double>(j - first) / (axis == 0 ? 8 : 28));
        rope.data<float>()[(i * kDim / 2 + j) * 2] =
            c.like_flux ? static_cast<float>(std::cos(angle)) : 1;
        rope.data<float>()[(i * kDim / 2 + j) * 2 + 1] =
            c.like_flux ? static_cast<float>(std::sin(angle)) : 0;
      }
  }

  int64_t text() const { return std::min(kText, case_.rows / 3); }

  /// Part 0 or 1, q or k, of one row and head after its norm and rotation.
  std::vector<double> normed(int64_t part, int64_t row, int64_t head) const {
    const bf16* x = wide.data<bf16>() + row * case_.row_elements + part * cols_ + head * kDim;
    const bf16* weight = weights[(row < text() ? 0 : 2) + part].data<bf16>();
    double squares = 0;
    for (int64_t j = 0; j < kDim; ++j) squares += std::pow(static_cast<float>(x[j]), 2);
    std::vector<double> v(kDim);
    for (int64_t j = 0; j < kDim; ++j)
      v[static_cast<size_t>(j)] = static_cast<float>(x[j]) / std::sqrt(squares / kDim + kEps) *
                                  static_cast<float>(weight[j]);
    for (int64_t j = 0; j < kDim; j += 2) {
      const float* angle = rope.data<float>() + row * kDim + j;
      double &even = v[static_cast<size_t>(j)], &odd = v[static_cast<size_t>(j + 1)];
      const double e = even, o = odd;
      even = e * angle[0] - o * angle[1];
      odd = o * angle[0] + e * angle[1];
    }
    return v;
  }

  /// The output [128] of one row and head.
  std::vector<double> attended(int64_t row, int64_t head) const {
    const std::vector<double> query = normed(0, row, head);
    std::vector<double> weights_of(static_cast<size_t>(case_.rows)), out(kDim);
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < case_.rows; ++i) {
      const std::vector<double> key = normed(1, i, head);
      double score = 0;
      for (size_t j = 0; j < kDim; ++j) score += query[j] * key[j];
      weights_of[static_cast<size_t>(i)] = score / std::sqrt(static_cast<double>(kDim));
      most = std::max(most, weights_of[static_cast<size_t>(i)]);
    }
    for (double& w : weights_of) sum += w = std::exp(w - most);
    for (int64_t i = 0; i < case_.rows; ++i) {
      const bf16* v = wide.data<bf16>() + i * case_.row_elements + 2 * cols_ + head * kDim;
      for (size_t j = 0; j < kDim; ++j)
        out[j] += weights_of[static_cast<size_t>(i)] / sum * static_cast<float>(v[j]);
    }
    return out;
  }

  Tensor wide, weights[4], rope;  // weights: q and k of the text, q and k of the picture

 private:
  const AttentionCase& case_;
  const int64_t cols_;
};

}  // namespace fluxq
