#include "base/test_support.h"
#include "quant/sparse24-int8dq/layout.h"
#include "quant/testing.h"

namespace fluxq {
namespace {

const Scheme& scheme() { return find_scheme("sparse24-int8dq"); }

TEST(Sparse24Int8Dq, KeepsTheTwoLargestOfEachFour) {
  const Tensor weight = converted(Tensor::from<float>({1, -127.5, 3, 2, 0.5, 0, 0, 0}, {1, 8}),
                                  DType::bf16);  // scale 1
  const PackedWeight packed = scheme().pack(weight, "w");
  EXPECT_THAT(scheme().unpack(packed), ::testing::ElementsAre(0, -128, 3, 0, 0, 0, 0, 0));
}

TEST(Sparse24Int8Dq, ReproducesTheMaskOfAWeightThatIsSparseAlready) {
  const Tensor weight = testing::random_tensor(DType::bf16, {16, 64}, 1);
  const std::vector<float> once = scheme().unpack(scheme().pack(weight, "w"));
  const std::vector<float> twice =
      scheme().unpack(scheme().pack(Tensor::from(once, {16, 64}), "w"));
  for (size_t i = 0; i < once.size(); ++i) EXPECT_TRUE(once[i] != 0 || twice[i] == 0) << i;
}

TEST(Sparse24Int8Dq, DequantizesLikeInt8dqWhenNothingIsDropped) {
  Tensor weight = testing::random_tensor(DType::bf16, {16, 64}, 2);
  for (int64_t i = 0; i < weight.elements(); ++i)
    if (i % 4 >= 2) weight.data<bf16>()[i] = bf16(0.0f);
  const Scheme& dense = find_scheme("int8dq");
  EXPECT_EQ(scheme().unpack(scheme().pack(weight, "w")), dense.unpack(dense.pack(weight, "w")));
}

TEST(Sparse24Int8Dq, RefusesMetadataThatNobodyWrites) {
  const Tensor weight = testing::random_tensor(DType::bf16, {3, 12}, 3);
  PackedWeight packed = scheme().pack(weight, "w");
  auto* metadata = packed.parts[Sparse24Int8DqScheme::kMetadata].data<uint8_t>();
  scheme().check(packed, "w");
  metadata[2] = 0b0000'0000;  // row 1, group 0: position 0 twice
  EXPECT_FLUXQ_ERROR(scheme().check(packed, "w"), corrupt_file, "row 1, group 0");
  packed = scheme().pack(weight, "w");
  packed.parts[Sparse24Int8DqScheme::kMetadata].data<uint8_t>()[5] |= 0x40;
  EXPECT_FLUXQ_ERROR(scheme().check(packed, "w"), corrupt_file, "row 2, group 3");
}

TEST(Sparse24Int8Dq, RefusesGroupsThatDoNotDivide) {
  EXPECT_FLUXQ_ERROR(scheme().pack(testing::random_tensor(DType::bf16, {3, 10}, 4), "w"),
                     unsupported, "in = 10 is not a multiple of the group of 4");
}

}  // namespace
}  // namespace fluxq
