#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace fluxq {
namespace {

TEST(ThreadPool, EachPieceRunsOnceForAnyThreadCount) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int64_t pieces : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(pieces);
      pool.parallel_for(pieces, [&](int64_t piece, int worker) {
        EXPECT_GE(worker, 0);
        EXPECT_LT(worker, threads);
        ++runs[piece];
      });
      for (const auto& count : runs) EXPECT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, AnExceptionReachesTheCallerAndThePoolStaysUsable) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.parallel_for(100,
                                 [](int64_t piece, int) {
                                   if (piece == 50) throw std::runtime_error("piece 50");
                                 }),
               std::runtime_error);
  std::atomic<int> runs = 0;
  pool.parallel_for(10, [&](int64_t, int) { ++runs; });
  EXPECT_EQ(runs, 10);
}

TEST(ThreadPool, AWatchedTokenStopsBetweenPieces) {
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    CancelToken cancel;
    pool.watch(&cancel);
    std::atomic<int> runs = 0;
    const auto body = [&](int64_t, int) {
      if (++runs == 5) cancel.request();
    };
    EXPECT_THROW(pool.parallel_for(1000, body), Error);
    EXPECT_LT(runs, 5 + threads);
    pool.watch(nullptr);
    runs = 10;
    pool.parallel_for(20, body);
    EXPECT_EQ(runs, 30);
  }
}

TEST(ThreadPool, DoesNotWaitForAThreadThatComesLate) {
  std::atomic<bool> let_go = false;
  const std::thread::id caller = std::this_thread::get_id();
  ThreadPool pool(3, [&] {
    if (std::this_thread::get_id() != caller) let_go.wait(false);
  });
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> runs = 0;
    pool.parallel_for(10, [&](int64_t, int worker) { runs += worker == 0; });
    EXPECT_EQ(runs, 10);
  }
  let_go = true;
  let_go.notify_all();
  std::atomic<int> runs = 0;
  pool.parallel_for(10, [&](int64_t, int) { ++runs; });
  EXPECT_EQ(runs, 10);
}

TEST(ThreadPool, OnStartRunsInEveryThread) {
  std::atomic<int> starts = 0;
  {
    ThreadPool pool(4, [&] { ++starts; });
  }
  EXPECT_EQ(starts, 4);
}

}  // namespace
}  // namespace fluxq
