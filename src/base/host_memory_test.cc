#include "base/host_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

namespace fluxq {
namespace {

constexpr int64_t kBlock = 64 << 20;

TEST(HostMemory, APeakIsSeenAndForgotten) {
  const int64_t before = resident_memory_bytes();
  ASSERT_GT(before, 0);
  {
    // Not from the heap: AddressSanitizer keeps freed blocks.
    void* block =
        ::mmap(nullptr, kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(block, MAP_FAILED);
    std::memset(block, 1, kBlock);
    EXPECT_GE(resident_memory_bytes(), before + kBlock / 2);
    ::munmap(block, kBlock);
  }
  EXPECT_GE(peak_memory_bytes(), before + kBlock / 2);
  if (reset_peak_memory()) {
    EXPECT_LT(peak_memory_bytes(), before + kBlock / 2);
  }
}

TEST(HostMemory, SomethingIsAvailable) { EXPECT_GT(available_memory_bytes(), int64_t{1} << 20); }

}  // namespace
}  // namespace fluxq
