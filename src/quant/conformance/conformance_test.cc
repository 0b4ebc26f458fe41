/// Every registered scheme on every device through every promise.
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/testing.h"
#include "quant/conformance/properties.h"

namespace fluxq::conformance {
namespace {

using Case = std::tuple<const Scheme*, Property>;

class Conformance : public ::testing::TestWithParam<Case> {};

TEST_P(Conformance, OnTheCpu) {
  const auto& [scheme, property] = GetParam();
  ASSERT_TRUE(scheme->runs_on(Device::cpu));
  for (const std::string& failure : property.check({*scheme, make_cpu_kernels}))
    ADD_FAILURE() << failure;
}

#ifdef FLUXQ_CUDA
// Skipped where there is no GPU, unless one is asked for: FLUXQ_REQUIRE_GPU=1.
TEST_P(Conformance, OnTheGpu) {
  try {
    (void)make_cuda_kernels();
  } catch (const Error& error) {
    const char* required = std::getenv("FLUXQ_REQUIRE_GPU");
    const bool is_required = required && std::string_view(required) == "1";
    if (is_required || error.code() != ErrorCode::no_device) throw;
    GTEST_SKIP() << error.what();
  }
  const auto& [scheme, property] = GetParam();
  ASSERT_TRUE(scheme->runs_on(Device::cuda));
  const auto kernels = [](int) { return testing::make_gpu_under_test(); };
  for (const std::string& failure : property.check({*scheme, kernels})) ADD_FAILURE() << failure;
}
#endif

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = std::get<0>(info.param)->info().name + "_";
  name += std::get<1>(info.param).name;
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Schemes, Conformance,
                         ::testing::Combine(::testing::ValuesIn(all_schemes().begin(),
                                                                all_schemes().end()),
                                            ::testing::ValuesIn(kProperties)),
                         case_name);

}  // namespace
}  // namespace fluxq::conformance
