#include "base/thread_pool.h"

#include <immintrin.h>
#include <sched.h>

#include <algorithm>
#include <system_error>

#include "base/error.h"

namespace fluxq {
namespace {

// Steps of the model follow each other within microseconds: a worker spins that long before it
// sleeps, unless another thread needs its core.
constexpr int kSpins = 4000;

}  // namespace

ThreadPool::ThreadPool(int threads, std::function<void()> on_start)
    : spins_(threads <= default_threads() ? kSpins : 0),
      shares_(static_cast<size_t>(std::max(1, threads))) {
  if (on_start) on_start();
  try {
    for (int worker = 1; worker < threads; ++worker) {
      workers_.emplace_back([this, worker, on_start] {
        if (on_start) on_start();
        work(worker);
      });
    }
  } catch (const std::system_error& error) {
    const size_t started = workers_.size() + 1;
    end();
    fail(ErrorCode::out_of_memory_host, "threads: expected {}, got {}: {}", threads, started,
         error.code().message());
  } catch (...) {  // no memory for their list
    end();
    throw;
  }
}

ThreadPool::~ThreadPool() { end(); }

void ThreadPool::end() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_pieces(int worker) {
  for (int i = 0; i < size(); ++i) {
    Share& share = shares_[static_cast<size_t>((worker + i) % size())];
    for (;;) {
      const int64_t piece = share.next.fetch_add(1);
      if (piece >= share.end) break;
      try {
        if (cancel_) cancel_->check();
        (*body_)(piece, worker);
      } catch (...) {
        std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        for (Share& other : shares_) other.next = other.end;
      }
    }
  }
}

void ThreadPool::work(int worker) {
  uint64_t seen = 0;  // number of the latest round that this worker knows
  const auto news = [&] { return round_ / kRound != seen || stop_; };
  for (;;) {
    for (int spin = 0; spin < spins_ && !news(); ++spin) _mm_pause();
    if (!news()) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, news);
    }
    if (stop_) return;
    uint64_t round = round_;
    while ((round & kOpen) && !round_.compare_exchange_weak(round, round + kWorker)) {
    }
    seen = round / kRound;
    if (!(round & kOpen)) continue;  // too late: it is done
    run_pieces(worker);
    round = round_.fetch_sub(kWorker) - kWorker;
    if (workers_in(round) == 0 && !(round & kOpen)) {
      std::lock_guard lock(mutex_);
      done_.notify_one();
    }
  }
}

void ThreadPool::parallel_for(int64_t pieces, const std::function<void(int64_t, int)>& body) {
  if (pieces <= 0) return;
  if (workers_.empty() || pieces == 1) {
    for (int64_t piece = 0; piece < pieces; ++piece) {
      if (cancel_) cancel_->check();
      body(piece, 0);
    }
    return;
  }
  {
    std::lock_guard lock(mutex_);
    body_ = &body;
    for (int worker = 0; worker < size(); ++worker) {
      shares_[static_cast<size_t>(worker)].next = pieces * worker / size();
      shares_[static_cast<size_t>(worker)].end = pieces * (worker + 1) / size();
    }
    failure_ = nullptr;
    round_ = (round_ / kRound + 1) * kRound + kOpen;
  }
  if (pieces >= size()) {
    wake_.notify_all();
  } else {
    for (int64_t piece = 1; piece < pieces; ++piece) wake_.notify_one();
  }
  run_pieces(0);
  round_ -= kOpen;
  const auto all_left = [&] { return workers_in(round_) == 0; };
  for (int spin = 0; spin < spins_ && !all_left(); ++spin) _mm_pause();
  std::unique_lock lock(mutex_);
  done_.wait(lock, all_left);
  if (failure_) std::rethrow_exception(failure_);
}

int default_threads() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace fluxq
