#include "models/t5/encoder.h"

#include "models/testing.h"

namespace fluxq {
namespace {

TEST(T5Buckets, AreThoseOfTransformers) {
  const std::pair<int64_t, int64_t> kinds[] = {{32, 128}, {16, 40}, {33, 100}, {4, 2}, {128, 1000}};
  for (const auto& [buckets, max_distance] : kinds) {
    const Tensor starts =
        testing::golden_units().read(fmt::format("bucket_starts.{}.{}", buckets, max_distance));
    ASSERT_GE(starts.dim(0), 3);
    const int32_t* next = starts.data<int32_t>();
    const int32_t* end = next + starts.elements();
    int32_t bucket = -1;
    for (int64_t distance = -1000; distance <= 1000; ++distance) {
      if (next != end && *next == distance) bucket = next[1], next += 2;
      ASSERT_EQ(t5_bucket(distance, buckets, max_distance), bucket)
          << distance << " of " << buckets << " buckets up to " << max_distance;
    }
    EXPECT_EQ(next, end);
  }
}

}  // namespace
}  // namespace fluxq
