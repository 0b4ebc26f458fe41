#include "kernels/rows.h"

#include <gtest/gtest.h>

namespace fluxq {
namespace {

TEST(Rows, WindowsOfAJointBuffer) {
  std::vector<float> values(2 * 3 * 4);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Tensor tensor = Tensor::from(values, {2, 3, 4});
  const Rows all = tensor;
  EXPECT_EQ(all.batch, 2);
  const Rows window = all.middle(1, 2).columns(2, 2);
  EXPECT_EQ(*window.row<float>(0, 0), 6);   // batch 0, row 1, column 2
  EXPECT_EQ(*window.row<float>(1, 1), 22);  // batch 1, row 2, column 2
  EXPECT_EQ(*window.item(1).row<float>(0, 0), 18);
  EXPECT_EQ(window.item(1).batch, 1);
  EXPECT_THROW(all.middle(2, 2), Error);
  EXPECT_THROW(all.columns(4, 1), Error);
  EXPECT_THROW(all.item(2), Error);
}

TEST(Rows, OfATensorNeedTwoOrThreeAxes) {
  const Rows matrix = Tensor::on_host(DType::bf16, {5, 7});
  EXPECT_EQ(matrix.batch, 1);
  EXPECT_EQ(matrix.rows, 5);
  EXPECT_EQ(matrix.row_stride, 7);
  EXPECT_THROW(Rows(Tensor::on_host(DType::f32, {7})), Error);
  EXPECT_TRUE(Rows(Tensor()).empty());
}

}  // namespace
}  // namespace fluxq
