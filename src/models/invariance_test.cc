// Each picture of a batch is, byte for byte, the picture that its seed gives alone, for any number
// of threads, in every scheme: what the batch rule of kernels.h becomes over whole models. Nor does
// it matter who norms and rotates q and k.
#include "kernels/ref/ref_kernels.h"
#include "kernels/testing.h"
#include "models/test_golden_case.h"

namespace fluxq {
namespace {

using testing::GoldenCase;
using testing::same_bytes;
using testing::StageRunner;
using testing::Stages;

Stages run(const GoldenCase& golden, const std::string& scheme, int threads) {
  const std::unique_ptr<Kernels> kernels = make_cpu_kernels(threads);
  return StageRunner(golden, *kernels, Recipe::standard(find_scheme(scheme))).run();
}

class InvarianceTest : public ::testing::TestWithParam<std::string> {};

TEST_P(InvarianceTest, BytesDependNeitherOnTheBatchNorOnTheThreads) {
  GoldenCase golden("batch-24x2");
  ASSERT_EQ(golden.batch, 3);
  const Stages together = run(golden, GetParam(), 3);
  const uint64_t seed = golden.seed;
  golden.batch = 1;
  for (int64_t i = 0; i < 3; ++i) {
    golden.seed = seed + static_cast<uint64_t>(i);
    const Stages alone = run(golden, GetParam(), 1);
    ASSERT_EQ(alone.size(), together.size());
    for (const auto& [name, stage] : alone)
      EXPECT_TRUE(same_bytes(together.at(name).slice(i, i + 1), stage)) << name << " of " << i;
  }
}

TEST(NormedHeads, AreTheSameFromAProductAsFromAttention) {
  const GoldenCase golden("batch-24x2");
  const auto run_with = [&](FusedParts fused) {
    RefKernels kernels;
    return StageRunner(golden, kernels, testing::RefScheme(fused).everywhere()).run();
  };
  const Stages by_attention = run_with({true, true, true, true});
  const Stages by_products = run_with({true, true, true, true, true});
  ASSERT_FALSE(by_products.empty());
  for (const auto& [name, stage] : by_products)
    EXPECT_TRUE(same_bytes(stage, by_attention.at(name))) << name;
}

std::vector<std::string> cpu_schemes() {
  std::vector<std::string> names;
  for (const Scheme* scheme : all_schemes())
    if (scheme->runs_on(Device::cpu)) names.push_back(scheme->info().name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Schemes, InvarianceTest, ::testing::ValuesIn(cpu_schemes()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace fluxq
