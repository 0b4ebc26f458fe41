/// A fixed set of threads that share out numbered pieces of work: each begins with its own run of
/// them, so that neighbouring pieces, and the same ones next time, find their data in that core's
/// cache; who is done takes over from the others. Nobody waits for a thread that comes late
/// (asleep, or its core busy elsewhere): the others do its pieces. Invariant: which pieces exist
/// never depends on the number of threads, so results do not either.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "fluxq/cancel.h"

namespace fluxq {

class ThreadPool {
 public:
  /// `threads` >= 1 in all, the caller counted; `on_start` runs once in every thread (the caller's
  /// too). Error(out_of_memory_host) if the system gives fewer.
  explicit ThreadPool(int threads, std::function<void()> on_start = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(piece, worker) for each piece in [0, pieces), in any order, worker in [0, size()),
  /// and returns when all are done. The first exception that a piece throws is thrown again here.
  /// Not reentrant.
  void parallel_for(int64_t pieces, const std::function<void(int64_t piece, int worker)>& body);

  /// From now on parallel_for stops between two pieces with Error(cancelled) once `cancel` is
  /// requested; nullptr ends it. The token must outlive that.
  void watch(const CancelToken* cancel) { cancel_ = cancel; }

 private:
  void work(int worker);
  void end();
  void run_pieces(int worker);

  const int spins_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int64_t, int)>* body_ = nullptr;
  struct alignas(128) Share {  // the two cache lines that processors fetch together
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  std::vector<Share> shares_;  // of each worker
  // The current round, one for each parallel_for: its number, whether a worker may still enter, and
  // how many workers are in it.
  static constexpr uint64_t kWorker = 1, kOpen = 1 << 16, kRound = 1 << 17;
  static uint64_t workers_in(uint64_t round) { return round % kOpen; }
  std::atomic<uint64_t> round_{0};
  std::exception_ptr failure_;
  std::atomic<bool> stop_{false};
  const CancelToken* cancel_ = nullptr;  // set between rounds only
};

/// The number of threads to use by default: the cores this process may run on.
int default_threads();

}  // namespace fluxq
