#include "base/host_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

namespace fluxq {
namespace {

constexpr int64_t kBlock = 64 << 20;

TEST(HostMemory, APeakIsSeenAndForgotten) {
  const int64_t before = resident_memory_bytes();
  ASSERT_GT(before, 0);
  {
    auto block = std::make_unique<char[]>(kBlock);
    std::memset(block.get(), 1, kBlock);
    EXPECT_GE(resident_memory_bytes(), before + kBlock / 2);
  }
  EXPECT_GE(peak_memory_bytes(), before + kBlock / 2);
  if (reset_peak_memory()) {
    EXPECT_LT(peak_memory_bytes(), before + kBlock / 2);
  }
}

TEST(HostMemory, SomethingIsAvailable) { EXPECT_GT(available_memory_bytes(), int64_t{1} << 20); }

}  // namespace
}  // namespace fluxq
