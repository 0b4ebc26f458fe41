#include "models/flux/rope.h"

#include <cmath>

namespace fluxq {
namespace {

constexpr double kTheta = 10000;

// Cosine and sine of every pair of one axis, for positions 0 ... count - 1: [count, dim].
std::vector<float> axis_table(int64_t dim, int64_t count) {
  std::vector<float> table;
  table.reserve(static_cast<size_t>(count * dim));
  for (int64_t position = 0; position < count; ++position) {
    for (int64_t i = 0; i < dim; i += 2) {
      const double frequency =
          1.0 / std::pow(kTheta, static_cast<double>(i) / static_cast<double>(dim));
      const double angle = static_cast<double>(position) * frequency;
      table.push_back(static_cast<float>(std::cos(angle)));
      table.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return table;
}

}  // namespace

Tensor rope_table(const std::array<int64_t, 3>& axes, int64_t text_tokens, int64_t height,
                  int64_t width) {
  const std::array<std::vector<float>, 3> tables = {
      axis_table(axes[0], 1), axis_table(axes[1], std::max<int64_t>(height, 1)),
      axis_table(axes[2], std::max<int64_t>(width, 1))};
  const int64_t dims = axes[0] + axes[1] + axes[2];
  Tensor rope = Tensor::on_host(DType::f32, {text_tokens + height * width, dims / 2, 2});
  float* out = rope.data<float>();
  const auto write_token = [&](int64_t row, int64_t column) {
    const std::array<int64_t, 3> position = {0, row, column};
    for (size_t axis = 0; axis < axes.size(); ++axis)
      out = std::copy_n(tables[axis].begin() + position[axis] * axes[axis], axes[axis], out);
  };
  for (int64_t token = 0; token < text_tokens; ++token) write_token(0, 0);
  for (int64_t row = 0; row < height; ++row)
    for (int64_t column = 0; column < width; ++column) write_token(row, column);
  return rope;
}

}  // namespace fluxq
