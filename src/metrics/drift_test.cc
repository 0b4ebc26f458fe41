#include "metrics/drift.h"

#include <cmath>
#include <limits>
#include <vector>

#include "base/test_support.h"

namespace fluxq {
namespace {

TEST(Drift, IsTheRelativeEuclideanDistance) {
  const std::vector<float> reference = {3, 0, 4}, value = {3, 0.5, 4};
  EXPECT_DOUBLE_EQ(relative_drift(value, reference), 0.1);
  EXPECT_EQ(relative_drift(reference, reference), 0);
  const std::vector<float> zero(3);
  EXPECT_EQ(relative_drift(zero, reference), 1);
  EXPECT_EQ(relative_drift(zero, zero), 0);
  // Neither overflows nor is lost.
  const std::vector<float> huge = {3e38f, 0}, huger = {3e38f, 3e38f};
  EXPECT_DOUBLE_EQ(relative_drift(huger, huge), 1);
  const std::vector<float> tiny = {1e-45f, 0}, tinier = {1e-45f, 1e-45f};
  EXPECT_DOUBLE_EQ(relative_drift(tinier, tiny), 1);
}

TEST(Drift, WhatCannotBeComparedIsRefused) {
  const std::vector<float> two(2, 1), three(3, 1);
  EXPECT_FLUXQ_ERROR(relative_drift(two, three), bad_argument, "2 and 3");
  EXPECT_FLUXQ_ERROR(relative_drift({}, {}), bad_argument, "0 and 0");
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> broken = {1, bad};
    EXPECT_FLUXQ_ERROR(relative_drift(broken, two), numeric, "index 1");
    EXPECT_FLUXQ_ERROR(relative_drift(two, broken), numeric, "index 1");
  }
  const std::vector<float> zero(2);
  EXPECT_FLUXQ_ERROR(relative_drift(two, zero), numeric, "zero");
}

}  // namespace
}  // namespace fluxq
