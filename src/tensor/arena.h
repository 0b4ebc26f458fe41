/// Scratch memory of one run: tensors are taken from the front and given back in scopes, last
/// first. After a first (warm-up) pass nothing is allocated from the system any more.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace fluxq {

class Arena {
 public:
  /// `allocate(bytes)` gives new 256-byte aligned memory of `device` or throws out_of_memory_*.
  Arena(Device device, std::function<std::shared_ptr<void>(int64_t bytes)> allocate);

  /// Uninitialised memory, valid until the Scope that was open when it was taken ends.
  Tensor take(DType dtype, Shape shape);

  /// Gives back, at its end, all that was taken since its start.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), block_(arena.block_), used_(arena.used_) {}
    ~Scope() {
      arena_.block_ = block_;
      arena_.used_ = used_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t block_;
    int64_t used_;
  };

  int64_t reserved_bytes() const;  ///< taken from the system

 private:
  struct Block {
    std::shared_ptr<void> memory;
    int64_t bytes;
  };
  Device device_;
  std::function<std::shared_ptr<void>(int64_t)> allocate_;
  std::vector<Block> blocks_;
  size_t block_ = 0;  // index of the block that is being used
  int64_t used_ = 0;  // bytes used in it
};

}  // namespace fluxq
