/// How a running piece of work is told to stop (Ctrl-C, a watchdog, a server's client that left).
#pragma once

#include <atomic>

#include "fluxq/error.h"

namespace fluxq {

/// Passed by reference to long work, which calls check() at least every 0.2 s. request() is safe
/// in a signal handler.
class CancelToken {
 public:
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }
  /// Throws Error(cancelled) once request() was called.
  void check() const {
    if (requested()) throw Error(ErrorCode::cancelled, "interrupted before the work was done");
  }

 private:
  std::atomic<bool> requested_{false};
};

}  // namespace fluxq
