#include "kernels/testing.h"

namespace fluxq::testing {
namespace {

TEST(Within, TakesWhatIsInsideAndRefusesWhatIsNot) {
  EXPECT_TRUE(within({1, 2}, {1, 2.5}, {0, 0.5}));
  EXPECT_FALSE(within({1, 2}, {1, 2.5}, {0, 0.49}));
  EXPECT_FALSE(within({1, 2}, {1.1, 2}, {0, 1}));
}

TEST(Within, RefusesNanAndInfinityAnywhere) {
  for (double bad : {double{NAN}, double{INFINITY}, -double{INFINITY}}) {
    EXPECT_FALSE(within({bad}, {1}, {9}));
    EXPECT_FALSE(within({1}, {bad}, {9}));
    EXPECT_FALSE(within({1}, {1}, {bad}));
    EXPECT_FALSE(within({bad}, {bad}, {9}));
    EXPECT_FALSE(within({bad}, {bad}, {bad}));
  }
}

TEST(Within, RefusesOtherLengthsAndNothing) {
  EXPECT_FALSE(within({1}, {1, 1}, {1, 1}));
  EXPECT_FALSE(within({1, 1}, {1}, {1}));
  EXPECT_FALSE(within({1, 1}, {1, 1}, {1}));
  EXPECT_FALSE(within({}, {}, {}));
}

TEST(Within, NamesTheWorst) {
  EXPECT_STREQ(within({1, 5, 3}, {0, 0, 0}, {0.5, 0.5, 4}).message(),
               "2 of 3 values differ; worst at 1: got 5, expected 0 within 0.5");
}

TEST(SameBytes, SeesOneBit) {
  const Tensor a = Tensor::from<float>({1, 2, 3}, {3}), b = Tensor::from<float>({1, 2, 3}, {3});
  EXPECT_TRUE(same_bytes(a, b));
  b.data<float>()[2] = std::nextafter(3.0f, 4.0f);
  EXPECT_FALSE(same_bytes(a, b));
  EXPECT_FALSE(same_bytes(a, Tensor::from<float>({1, 2}, {2})));
  EXPECT_FALSE(same_bytes(a, a.reshaped({1, 3})));
  EXPECT_FALSE(same_bytes(Tensor::from<float>({0.0f}, {1}), Tensor::from<float>({-0.0f}, {1})));
}

}  // namespace
}  // namespace fluxq::testing
