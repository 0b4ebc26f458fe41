#include "tensor/arena.h"

#include <algorithm>

#include "base/test_support.h"

namespace fluxq {
namespace {

class ArenaTest : public ::testing::Test {
 protected:
  int allocations_ = 0;
  Arena arena_{Device::cpu, [this](int64_t bytes) {
                 ++allocations_;
                 return std::shared_ptr<void>(std::aligned_alloc(256, bytes), std::free);
               }};
  void take(int64_t bytes) { arena_.take(DType::u8, {bytes}); }
};

constexpr int64_t kMegabyte = 1 << 20;

TEST_F(ArenaTest, AReservedBlockHoldsWhatWasReserved) {
  arena_.reserve(20 * kMegabyte);
  EXPECT_EQ(allocations_, 1);
  EXPECT_EQ(arena_.reserved_bytes(), 20 * kMegabyte);
  for (int run = 0; run < 2; ++run) {
    const Arena::Scope scope(arena_);
    take(15 * kMegabyte);
    {
      const Arena::Scope inner(arena_);
      take(5 * kMegabyte);
    }
    take(kMegabyte);
  }
  EXPECT_EQ(allocations_, 1);
  EXPECT_EQ(arena_.peak_bytes(), 20 * kMegabyte);
}

TEST_F(ArenaTest, AfterARunOneBlockHoldsItsPeak) {
  const auto run = [&] {
    const Arena::Scope scope(arena_);
    take(3 * kMegabyte);
    take(3 * kMegabyte);  // does not fit into what is left of the first block
    take(100);
  };
  run();
  EXPECT_EQ(allocations_, 2);
  EXPECT_EQ(arena_.peak_bytes(), 6 * kMegabyte + 256);
  arena_.reserve(arena_.peak_bytes());
  EXPECT_EQ(arena_.reserved_bytes(), 6 * kMegabyte + 256);
  run();
  EXPECT_EQ(allocations_, 3);
}

TEST_F(ArenaTest, ReservingNeverShrinksAndNeedsAnEmptyArena) {
  arena_.reserve(2 * kMegabyte);
  arena_.reserve(kMegabyte);
  EXPECT_EQ(allocations_, 1);
  const Arena::Scope scope(arena_);
  take(1);
  EXPECT_FLUXQ_ERROR(arena_.reserve(3 * kMegabyte), internal, "in use");
}

// What a memory checker needs: no neighbour, no slack, and freed as early as it may be.
TEST(ArenaApartTest, EveryTensorIsAnAllocationOfItsBytes) {
  std::vector<int64_t> held;
  Arena arena(Device::cpu, [&](int64_t bytes) {
    held.push_back(bytes);
    return std::shared_ptr<void>(std::malloc(static_cast<size_t>(bytes)), [&held, bytes](void* p) {
      held.erase(std::find(held.begin(), held.end(), bytes));
      std::free(p);
    });
  });
  arena.keep_apart();
  const auto take = [&](int64_t bytes) { arena.take(DType::u8, {bytes}); };
  EXPECT_FALSE(arena.reserve(kMegabyte));
  {
    const Arena::Scope scope(arena);
    take(7);
    {
      const Arena::Scope inner(arena);
      take(3);
      take(5);
      EXPECT_THAT(held, ::testing::ElementsAre(7, 3, 5));
    }
    EXPECT_THAT(held, ::testing::ElementsAre(7));
    take(3);
    EXPECT_THAT(held, ::testing::ElementsAre(7, 3));
    EXPECT_EQ(arena.peak_bytes(), 15);
  }
  EXPECT_THAT(held, ::testing::IsEmpty());
  take(2);
  EXPECT_FLUXQ_ERROR(arena.keep_apart(), internal, "in use");
}

}  // namespace
}  // namespace fluxq
