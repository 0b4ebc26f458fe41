#include "report/numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace fluxq::report {
namespace {

TEST(Numbers, OneUnitPerColumn) {
  const std::vector<double> seconds = {2966, 45004}, mixed = {12.34, 2966}, none = {};
  EXPECT_EQ(time_unit(seconds).show(2966), "2.966 s");
  EXPECT_EQ(time_unit(seconds).show(Interval{2961, 45010}), "2.961 to 45.010");
  EXPECT_EQ(time_unit(mixed).show(2966), "2966.0 ms");
  EXPECT_EQ(time_unit(none).symbol, "ms");
  EXPECT_EQ(show_time(0.1234), "0.123 ms");
  EXPECT_EQ(show_bytes(33.851e9), "33.85 GB");
  EXPECT_EQ(show_bytes(39e6), "39.00 MB");
  EXPECT_EQ(show_bytes(12), "0.012 kB");
}

TEST(Numbers, SignsAndWhatIsNone) {
  EXPECT_EQ(fixed(-0.5, 2), "−0.50");
  EXPECT_EQ(fixed(-0.001, 2), "0.00");
  EXPECT_EQ(fixed(std::nan(""), 2), "not a number");
  EXPECT_EQ(fixed(std::numeric_limits<double>::infinity(), 2), "infinite");
  EXPECT_EQ(show_percent(53.884), "53.9 %");
  EXPECT_EQ(show_times(2.168), "2.17×");
  EXPECT_EQ(count_of(1, "picture"), "1 picture");
  EXPECT_EQ(count_of(0, "picture"), "0 pictures");
}

}  // namespace
}  // namespace fluxq::report
