#include "models/clip/text_encoder.h"

#include <gtest/gtest.h>

namespace fluxq {
namespace {

TEST(ClipEnd, IsTheFirstEndToken) {
  const std::vector<int32_t> ids = {9, 4, 7, 8, 7, 7};
  EXPECT_EQ(clip_end_position(ids, 7), 2);
  EXPECT_EQ(clip_end_position(ids, 9), 0);
}

TEST(ClipEnd, IsTheLargestIdWhenTheConfigSaysTwo) {
  const std::vector<int32_t> ids = {5, 2, 9, 2, 9, 1};
  EXPECT_EQ(clip_end_position(ids, 2), 2);  // the first of the largest
}

TEST(ClipEnd, IsTheStartWithoutAnEndToken) {
  const std::vector<int32_t> ids = {5, 3, 9};
  EXPECT_EQ(clip_end_position(ids, 7), 0);
}

}  // namespace
}  // namespace fluxq
