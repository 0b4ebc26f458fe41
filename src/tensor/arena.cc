#include "tensor/arena.h"

#include <algorithm>

namespace fluxq {
namespace {

constexpr int64_t kAlignment =
    256;  // what cuBLAS and cuDNN ask of pointers, and more than a cache line
constexpr int64_t kSmallestBlock = int64_t{1} << 22;

}  // namespace

Arena::Arena(Device device, std::function<std::shared_ptr<void>(int64_t)> allocate)
    : device_(device), allocate_(std::move(allocate)) {}

Tensor Arena::take(DType dtype, Shape shape) {
  const int64_t exact = element_count(shape) * dtype_bytes(dtype);
  const int64_t bytes = apart_ ? exact : (exact + kAlignment - 1) / kAlignment * kAlignment;
  while (block_ < blocks_.size() && (apart_ || used_ + bytes > blocks_[block_].bytes)) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    const int64_t block_bytes = apart_ ? bytes : std::max(bytes, kSmallestBlock);
    blocks_.push_back({allocate_(block_bytes), block_bytes});
  }
  const Block& block = blocks_[block_];
  void* data = static_cast<std::byte*>(block.memory.get()) + used_;
  used_ += bytes;
  taken_ += bytes;
  peak_ = std::max(peak_, taken_);
  return Tensor(dtype, std::move(shape), device_, block.memory, data);
}

bool Arena::reserve(int64_t bytes) {
  if (apart_ || (blocks_.size() == 1 && blocks_.front().bytes >= bytes)) return false;
  if (taken_ > 0) fail(ErrorCode::internal, "an arena in use cannot be reserved anew");
  blocks_.clear();
  block_ = 0;
  used_ = 0;
  blocks_.push_back({allocate_(bytes), bytes});
  return true;
}

void Arena::keep_apart() {
  if (!blocks_.empty()) fail(ErrorCode::internal, "an arena in use cannot keep tensors apart");
  apart_ = true;
}

void Arena::give_back_to(size_t block, int64_t used, int64_t taken) {
  block_ = block;
  used_ = used;
  taken_ = taken;
  if (apart_) blocks_.resize(std::min(blocks_.size(), block + (used > 0 ? 1 : 0)));
}

int64_t Arena::reserved_bytes() const {
  int64_t bytes = 0;
  for (const Block& block : blocks_) bytes += block.bytes;
  return bytes;
}

}  // namespace fluxq
