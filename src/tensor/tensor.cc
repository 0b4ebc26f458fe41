#include "tensor/tensor.h"

#include <cstdlib>
#include <cstring>

namespace fluxq {
namespace {

constexpr size_t kAlignment = 64;  // one cache line, and an AVX-512 register

float widened(float value) { return value; }
float widened(bf16 value) { return static_cast<float>(value); }
float widened(uint16_t f16_bits) { return f16_to_float(f16_bits); }

// One loop per pair of types, so that the compiler can vectorize it.
template <typename From>
void convert(const void* from, const Tensor& out) {
  const auto* values = static_cast<const From*>(from);
  const int64_t count = out.elements();
  if (out.dtype() == DType::f32) {
    float* to = out.data<float>();
    for (int64_t i = 0; i < count; ++i) to[i] = widened(values[i]);
  } else {
    bf16* to = out.data<bf16>();
    for (int64_t i = 0; i < count; ++i) to[i] = bf16(widened(values[i]));
  }
}

}  // namespace

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(count, dim, &count)) {
      fail(ErrorCode::internal, "shape {}: its element count is not representable",
           to_string(shape));
    }
  }
  return count;
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string_view device_name(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

Tensor::Tensor(DType dtype, Shape shape, Device device, std::shared_ptr<void> owner, void* data)
    : dtype_(dtype),
      device_(device),
      shape_(std::move(shape)),
      elements_(element_count(shape_)),
      owner_(std::move(owner)),
      data_(data) {}

Tensor Tensor::on_host(DType dtype, Shape shape) {
  const int64_t bytes = element_count(shape) * dtype_bytes(dtype);
  const size_t rounded = (static_cast<size_t>(bytes) / kAlignment + 1) * kAlignment;
  void* data = std::aligned_alloc(kAlignment, rounded);
  if (!data)
    fail(ErrorCode::out_of_memory_host, "host memory for a tensor of {} bytes could not be had",
         bytes);
  return Tensor(dtype, std::move(shape), Device::cpu, std::shared_ptr<void>(data, std::free), data);
}

Tensor Tensor::reshaped(Shape shape) const {
  if (element_count(shape) != elements_) {
    fail(ErrorCode::internal, "reshape {} to {}: the element counts differ", to_string(shape_),
         to_string(shape));
  }
  return Tensor(dtype_, std::move(shape), device_, owner_, data_);
}

Tensor Tensor::slice(int64_t begin, int64_t end) const {
  if (shape_.empty() || begin < 0 || begin > end || end > shape_[0]) {
    fail(ErrorCode::internal, "slice [{}, {}) of a tensor of shape {}", begin, end,
         to_string(shape_));
  }
  Shape shape = shape_;
  const int64_t entry_bytes = shape[0] == 0 ? 0 : bytes() / shape[0];
  shape[0] = end - begin;
  return Tensor(dtype_, std::move(shape), device_, owner_,
                static_cast<std::byte*>(data_) + begin * entry_bytes);
}

Tensor converted(const Tensor& host, DType dtype) {
  if (host.dtype() != dtype && dtype != DType::f32 && dtype != DType::bf16) {
    fail(ErrorCode::unsupported, "conversion of tensor values: expected F32 or BF16, got {}",
         dtype_name(dtype));
  }
  Tensor out = Tensor::on_host(dtype, host.shape());
  if (host.dtype() == dtype) {
    std::memcpy(out.raw(), host.raw(), static_cast<size_t>(host.bytes()));
  } else if (host.dtype() == DType::f32) {
    convert<float>(host.raw(), out);
  } else if (host.dtype() == DType::bf16) {
    convert<bf16>(host.raw(), out);
  } else if (host.dtype() == DType::f16) {
    convert<uint16_t>(host.raw(), out);
  } else {
    fail(ErrorCode::unsupported, "a tensor's values: expected F32, BF16 or F16, got {}",
         dtype_name(host.dtype()));
  }
  return out;
}

std::vector<float> to_floats(const Tensor& host) {
  const Tensor floats = converted(host, DType::f32);
  return {floats.data<float>(), floats.data<float>() + floats.elements()};
}

}  // namespace fluxq
