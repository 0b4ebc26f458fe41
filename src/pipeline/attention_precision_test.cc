#include "pipeline/attention_precision.h"

#include "base/test_support.h"

namespace fluxq {
namespace {

TEST(AttentionPrecision, HasNames) {
  for (const auto& [name, precision] :
       {std::pair("bf16", AttentionPrecision::bf16), std::pair("fp8", AttentionPrecision::fp8),
        std::pair("int8", AttentionPrecision::int8)})
    EXPECT_EQ(attention_precision(name, Device::cuda), precision);
  EXPECT_FLUXQ_ERROR(attention_precision("int", Device::cuda), bad_argument,
                     "expected bf16, fp8, int8, got \"int\". Did you mean \"int8\"?");
  EXPECT_FLUXQ_ERROR(attention_precision("", Device::cpu), bad_argument, "got \"\"");
}

TEST(AttentionPrecision, OfTheCpuIsItsStreams) {
  EXPECT_EQ(attention_precision("bf16", Device::cpu), AttentionPrecision::bf16);
  for (const std::string name : {"fp8", "int8"})
    EXPECT_FLUXQ_ERROR(attention_precision(name, Device::cpu), unsupported,
                       "attention " + name + ": expected bf16 on the CPU");
}

TEST(AttentionPrecision, OfEightBitsIsForSomeAttentions) {
  for (const std::string name : {"bf16", "fp8", "int8"}) {
    EXPECT_EQ(attention_that_runs(name, Device::cuda, DType::bf16, 128), name);
    EXPECT_EQ(attention_that_runs(name, Device::cuda, DType::f32, 128), "bf16");
    EXPECT_EQ(attention_that_runs(name, Device::cuda, DType::bf16, 64), "bf16");
  }
  EXPECT_FLUXQ_ERROR(attention_that_runs("int", Device::cuda, DType::f32, 128), bad_argument,
                     "got \"int\"");
  EXPECT_FLUXQ_ERROR(attention_that_runs("int8", Device::cpu, DType::f32, 128), unsupported, "CPU");
  EXPECT_THAT(attention_fallback("int8"), ::testing::StartsWith("attention int8 is for bf16"));
}

}  // namespace
}  // namespace fluxq
