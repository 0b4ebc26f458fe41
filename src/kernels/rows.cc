#include "kernels/rows.h"

#include <algorithm>

namespace fluxq {

Rows::Rows(const Tensor& tensor) : data(tensor.raw()), dtype(tensor.dtype()) {
  if (tensor.empty()) return;
  if (tensor.rank() != 2 && tensor.rank() != 3) {
    fail(ErrorCode::internal, "rows of a tensor: expected shape [batch, rows, cols], got {}",
         to_string(tensor.shape()));
  }
  const size_t first = tensor.rank() - 2;
  batch = first == 1 ? tensor.dim(0) : 1;
  rows = tensor.dim(first);
  cols = tensor.dim(first + 1);
  row_stride = cols;
  batch_stride = rows * cols;
}

Rows Rows::middle(int64_t begin, int64_t count) const {
  if (begin < 0 || count < 0 || begin + count > rows) {
    fail(ErrorCode::internal, "rows [{}, {}) of {}", begin, begin + count, rows);
  }
  Rows part = *this;
  part.data = at(0, begin);
  part.rows = count;
  return part;
}

Rows Rows::columns(int64_t begin, int64_t count) const {
  if (begin < 0 || count < 0 || begin + count > cols) {
    fail(ErrorCode::internal, "columns [{}, {}) of {}", begin, begin + count, cols);
  }
  Rows part = *this;
  part.data = static_cast<std::byte*>(data) + begin * dtype_bytes(dtype);
  part.cols = count;
  return part;
}

Rows Rows::item(int64_t index) const {
  if (index < 0 || index >= batch)
    fail(ErrorCode::internal, "matrix {} of a batch of {}", index, batch);
  Rows part = *this;
  part.data = at(index, 0);
  part.batch = 1;
  return part;
}

bool Rows::aligned_to(int64_t bytes) const {
  const int64_t element = dtype_bytes(dtype);
  return empty() ||
         (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(bytes) == 0 &&
          row_stride * element % bytes == 0 && (batch == 1 || batch_stride * element % bytes == 0));
}

Rows Rows::as_one_matrix() const {
  if (!is_one_matrix())
    fail(ErrorCode::internal, "{} matrices that do not lie one after the other as one", batch);
  Rows all = *this;
  all.rows *= batch;
  all.batch = std::min<int64_t>(batch, 1);
  return all;
}

}  // namespace fluxq
