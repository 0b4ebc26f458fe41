/// Scratch memory of one run: tensors are taken from the front and given back in scopes, last
/// first. Once one block is reserved that holds a run's peak, nothing is allocated from the system
/// any more.
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

  /// Makes the arena one block of at least `bytes`; a larger one that is there stays.
  /// Error(internal) while anything is taken. True if the memory is another one from now on.
  bool reserve(int64_t bytes);

  /// For memory checkers, before anything is taken: from now on every tensor is an allocation of
  /// exactly its bytes, freed with its scope, so that what is done beyond its end shows.
  void keep_apart();

  /// Gives back, at its end, all that was taken since its start.
  class Scope {
   public:
    explicit Scope(Arena& arena)
        : arena_(arena), block_(arena.block_), used_(arena.used_), taken_(arena.taken_) {}
    ~Scope() { arena_.give_back_to(block_, used_, taken_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t block_;
    int64_t used_, taken_;
  };

  int64_t reserved_bytes() const;               ///< had from the system
  int64_t peak_bytes() const { return peak_; }  ///< the most that was taken at a time

 private:
  struct Block {
    std::shared_ptr<void> memory;
    int64_t bytes;
  };
  void give_back_to(size_t block, int64_t used, int64_t taken);

  Device device_;
  bool apart_ = false;
  std::function<std::shared_ptr<void>(int64_t)> allocate_;
  std::vector<Block> blocks_;
  size_t block_ = 0;              // index of the block that is being used
  int64_t used_ = 0;              // bytes used in it
  int64_t taken_ = 0, peak_ = 0;  // bytes of all tensors: what one block would have used
};

}  // namespace fluxq
