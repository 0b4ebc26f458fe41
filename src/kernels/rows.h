/// The operand of every kernel: a batch of matrices with unit column stride inside some tensor. It
/// is how text and image tokens share one buffer ([text | image]) and q, k, v one row, without
/// copies.
#pragma once

#include "tensor/tensor.h"

namespace fluxq {

struct Rows {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t batch = 0;         ///< matrices (pictures of the batch)
  int64_t rows = 0;          ///< of each matrix (tokens)
  int64_t cols = 0;          ///< of each matrix (features)
  int64_t batch_stride = 0;  ///< elements from one matrix to the next
  int64_t row_stride = 0;    ///< elements from one row to the next

  Rows() = default;
  /// A tensor [rows, cols] or [batch, rows, cols]. The tensor must outlive the view.
  Rows(const Tensor& tensor);  // NOLINT: implicit, a tensor is its own rows

  bool empty() const { return data == nullptr; }
  /// Rows [begin, begin + count) of each matrix.
  Rows middle(int64_t begin, int64_t count) const;
  /// Columns [begin, begin + count) of each row.
  Rows columns(int64_t begin, int64_t count) const;
  /// Matrix `index` alone.
  Rows item(int64_t index) const;
  /// Whether every row starts at a multiple of so many bytes.
  bool aligned_to(int64_t bytes) const;
  /// Whether the matrices lie one after the other: all their rows, as one matrix.
  bool is_one_matrix() const { return batch <= 1 || batch_stride == rows * row_stride; }
  Rows as_one_matrix() const;

  /// First element of a row; T must be the type of dtype.
  template <typename T>
  T* row(int64_t batch_index, int64_t row_index) const {
    return static_cast<T*>(data) + batch_index * batch_stride + row_index * row_stride;
  }
  void* at(int64_t batch_index, int64_t row_index) const {
    return static_cast<std::byte*>(data) +
           (batch_index * batch_stride + row_index * row_stride) * dtype_bytes(dtype);
  }
};

}  // namespace fluxq
