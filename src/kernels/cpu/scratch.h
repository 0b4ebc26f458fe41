/// Memory of its own for each thread of the pool.
#pragma once

#include "kernels/cpu/cpu_kernels.h"

namespace fluxq::cpu {

/// `bytes` for each thread, from the arena: keep a Scope around it. The threads' parts lie so far
/// apart that no two write to one cache line, or to the two that processors fetch together.
class ThreadScratch {
 public:
  ThreadScratch(CpuKernels& kernels, int64_t bytes)
      : stride_((bytes + 255) / 256 * 256),
        memory_(kernels.arena().take(DType::u8, {kernels.pool().size(), stride_})) {}

  template <typename T>
  T* of(int worker) const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(memory_.raw()) + worker * stride_);
  }

 private:
  int64_t stride_;
  Tensor memory_;
};

}  // namespace fluxq::cpu
