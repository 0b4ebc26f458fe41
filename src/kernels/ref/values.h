/// How the reference reads and writes elements: f32 or bf16 in memory, double in between.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/kernels.h"

namespace fluxq::ref {

/// The bf16 nearest to `value` (ties to even). By way of float, but never onto a tie that the exact
/// value is not: float's rounding is undone by one step there.
inline bf16 nearest_bf16(double value) {
  float nearest = static_cast<float>(value);
  const bool on_tie = (std::bit_cast<uint32_t>(nearest) & 0xffff) == 0x8000;
  if (on_tie && nearest != value && std::isfinite(nearest))
    nearest = std::nextafter(nearest, value > nearest ? INFINITY : -INFINITY);
  return bf16(nearest);
}

/// `value` as `dtype` holds it.
inline double rounded(double value, DType dtype) {
  return dtype == DType::bf16 ? static_cast<float>(nearest_bf16(value)) : static_cast<float>(value);
}

inline double get(const void* data, DType dtype, int64_t i) {
  return dtype == DType::bf16 ? static_cast<float>(static_cast<const bf16*>(data)[i])
                              : static_cast<const float*>(data)[i];
}
inline double get(const Tensor& tensor, int64_t i) { return get(tensor.raw(), tensor.dtype(), i); }
inline double get(const Rows& rows, int64_t batch, int64_t row, int64_t col) {
  return get(rows.at(batch, row), rows.dtype, col);
}

inline void set(void* data, DType dtype, int64_t i, double value) {
  if (dtype == DType::bf16)
    static_cast<bf16*>(data)[i] = nearest_bf16(value);
  else
    static_cast<float*>(data)[i] = static_cast<float>(value);
}
inline void set(const Tensor& tensor, int64_t i, double value) {
  set(tensor.raw(), tensor.dtype(), i, value);
}
inline void set(const Rows& rows, int64_t batch, int64_t row, int64_t col, double value) {
  set(rows.at(batch, row), rows.dtype, col, value);
}

/// One row in double: taken before the output, which may be the same memory, is written.
inline std::vector<double> get_row(const Rows& rows, int64_t batch, int64_t row) {
  std::vector<double> values(rows.cols);
  for (int64_t c = 0; c < rows.cols; ++c) values[c] = get(rows, batch, row, c);
  return values;
}

/// A tensor [B, H, W, C] by position.
inline int64_t index(const Tensor& x, int64_t b, int64_t row, int64_t col, int64_t channel) {
  return ((b * x.dim(1) + row) * x.dim(2) + col) * x.dim(3) + channel;
}

double activate(Act act, double v);

}  // namespace fluxq::ref
