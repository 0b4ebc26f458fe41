/// A dense row-major array: owner of, or window into, host or device memory. There are no strided
/// tensors; kernels that work on parts of rows take `Rows` (kernels/rows.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/dtype.h"

namespace fluxq {

using Shape = std::vector<int64_t>;

/// Product of the dimensions, 1 for a scalar; Error(internal) on overflow (readers of files check
/// before).
int64_t element_count(const Shape& shape);

/// "[2, 320, 256]"
std::string to_string(const Shape& shape);

/// Where memory lies.
enum class Device : uint8_t { cpu, cuda };
std::string_view device_name(Device device);

class Tensor {
 public:
  Tensor() = default;  ///< no memory: empty() is true
  /// A window of shape x dtype at `data`, kept alive by `owner`.
  Tensor(DType dtype, Shape shape, Device device, std::shared_ptr<void> owner, void* data);

  /// New host memory, 64-byte aligned, not initialised. Error(out_of_memory_host) names the bytes.
  static Tensor on_host(DType dtype, Shape shape);
  /// Host memory holding a copy of `values`, as many as `shape` has elements.
  template <typename T>
  static Tensor from(const std::vector<T>& values, Shape shape) {
    Tensor tensor = on_host(kDTypeOf<T>, std::move(shape));
    if (static_cast<int64_t>(values.size()) != tensor.elements()) {
      fail(ErrorCode::internal, "tensor of shape {}: got {} values", to_string(tensor.shape()),
           values.size());
    }
    std::copy(values.begin(), values.end(), tensor.data<T>());
    return tensor;
  }

  bool empty() const { return data_ == nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t dim(size_t axis) const { return shape_[axis]; }
  size_t rank() const { return shape_.size(); }
  int64_t elements() const { return elements_; }
  int64_t bytes() const { return elements_ * dtype_bytes(dtype_); }
  Device device() const { return device_; }
  void* raw() const { return data_; }

  /// The elements; T must be the C++ type of dtype() (raw() reads codes that have none).
  template <typename T>
  T* data() const {
    if (kDTypeOf<T> != dtype_)
      fail(ErrorCode::internal, "a {} tensor read as {}", dtype_name(dtype_),
           dtype_name(kDTypeOf<T>));
    return static_cast<T*>(data_);
  }

  /// The same memory under another shape with as many elements.
  Tensor reshaped(Shape shape) const;
  /// Entries [begin, end) of the first axis, sharing memory.
  Tensor slice(int64_t begin, int64_t end) const;

 private:
  DType dtype_ = DType::f32;
  Device device_ = Device::cpu;
  Shape shape_;
  int64_t elements_ = 0;
  std::shared_ptr<void> owner_;
  void* data_ = nullptr;
};

/// A host tensor's values converted to float (from f32, bf16, f16), or to the given dtype (f32 or
/// bf16).
Tensor converted(const Tensor& host, DType dtype);
std::vector<float> to_floats(const Tensor& host);

}  // namespace fluxq
