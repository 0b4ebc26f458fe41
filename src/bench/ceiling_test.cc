#include "bench/ceiling.h"

#include <gmock/gmock.h>

#include <cmath>

namespace fluxq {
namespace {

TEST(Ceilings, OfACpuAreThoseOfTheTypesItMultiplies) {
  const Ceilings ceilings = measure_ceilings(*make_cpu_kernels(1));
  std::vector<std::string> types;
  for (const auto& [type, flops] : ceilings.flops) {
    types.push_back(type);
    EXPECT_TRUE(std::isfinite(flops) && flops > 0) << type;
  }
  EXPECT_THAT(types, ::testing::ElementsAre("bf16", "f32", "s8"));
  EXPECT_TRUE(std::isfinite(ceilings.bytes) && ceilings.bytes > 0);
}

}  // namespace
}  // namespace fluxq
