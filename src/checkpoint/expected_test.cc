#include "checkpoint/expected.h"

#include <gtest/gtest.h>

#include "checkpoint/tensor_store.h"
#include "checkpoint/test_files.h"

namespace fluxq {
namespace {

class Expected : public testing::Test {
 protected:
  Expected() {
    write_safetensors(folder_ / "model.safetensors",
                      R"({"proj.weight":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]},)"
                      R"("proj.bias":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},)"
                      R"("codes":{"dtype":"I8","shape":[],"data_offsets":[8,9]}})",
                      std::string(9, '\0'));
  }

  std::vector<std::string> check(const std::vector<ExpectedTensor>& expected) {
    return check_expected(TensorStore(folder_.path()), expected);
  }

  TempFolder folder_;
};

constexpr DType kCodes[] = {DType::i8, DType::f8_e4m3};

TEST_F(Expected, AllThereIsFineAndTheRestIsListed) {
  EXPECT_THAT(check({{"proj.weight", {2, 1}}, {"proj.bias", {1}}, {"codes", {}, kCodes}}),
              testing::IsEmpty());
  const std::vector<std::string> warnings = check({{"proj.weight", {2, 1}}});
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], testing::HasSubstr("2 tensors are not used by this model: \"codes\", "
                                              "\"proj.bias\""));
}

TEST_F(Expected, WhatIsMissingIsNamedWithItsNeighbours) {
  EXPECT_FLUXQ_ERROR(
      check({{"proj.weigth", {2, 1}}}), corrupt_file,
      "tensor \"proj.weigth\": expected shape [2, 1], got no such tensor. Did you mean "
      "\"proj.weight\"");
  EXPECT_FLUXQ_ERROR(check({{"a", {1}}, {"b", {1}}, {"codes", {}, kCodes}}), corrupt_file,
                     "tensor \"a\": expected shape [1], got no such tensor. (2 tensors are wrong");
}

TEST_F(Expected, AnotherShapeOrDtypeIsRefused) {
  EXPECT_FLUXQ_ERROR(check({{"proj.weight", {1, 2}}}), corrupt_file,
                     "tensor \"proj.weight\": expected shape [1, 2], got [2, 1]");
  EXPECT_FLUXQ_ERROR(check({{"proj.weight", {2}}}), corrupt_file, "expected shape [2], got [2, 1]");
  EXPECT_FLUXQ_ERROR(check({{"codes", {}}}), corrupt_file,
                     "tensor \"codes\": expected dtype F32 or F16 or BF16, got I8");
  EXPECT_FLUXQ_ERROR(check({{"proj.bias", {1}, kCodes}}), corrupt_file,
                     "expected dtype I8 or F8_E4M3, got F32");
}

}  // namespace
}  // namespace fluxq
