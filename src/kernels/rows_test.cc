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

TEST(Rows, OfABatchAsOneMatrix) {
  const Tensor tensor = Tensor::on_host(DType::bf16, {2, 3, 4});
  const Rows all = tensor, columns = all.columns(1, 2), some = all.middle(0, 2);
  ASSERT_TRUE(all.is_one_matrix() && columns.is_one_matrix());
  EXPECT_EQ(columns.as_one_matrix().rows, 6);
  EXPECT_EQ(columns.as_one_matrix().batch, 1);
  EXPECT_EQ(columns.as_one_matrix().at(0, 5), columns.at(1, 2));
  EXPECT_FALSE(some.is_one_matrix());
  EXPECT_THROW((void)some.as_one_matrix(), Error);
  EXPECT_TRUE(some.item(1).is_one_matrix());
  EXPECT_TRUE(Rows().as_one_matrix().empty());
}

TEST(Rows, AlignmentIsThatOfEveryRow) {
  const Tensor tensor = Tensor::on_host(DType::bf16, {2, 3, 8});
  const Rows all = tensor;
  EXPECT_TRUE(all.aligned_to(16));
  EXPECT_FALSE(all.aligned_to(32)) << "every other row";
  EXPECT_FALSE(all.columns(4, 4).aligned_to(16));
  EXPECT_TRUE(all.columns(4, 4).aligned_to(8));
  Rows apart = all;
  apart.batch_stride += 4;
  EXPECT_FALSE(apart.aligned_to(16));
  EXPECT_TRUE(apart.item(0).aligned_to(16));
  EXPECT_TRUE(Rows().aligned_to(16));
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
