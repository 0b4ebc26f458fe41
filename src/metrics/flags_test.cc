#include "metrics/flags.h"

#include "base/test_support.h"

namespace fluxq {
namespace {

Image filled(std::initializer_list<uint8_t> pixel) {
  Image image{4, 3, {}};
  for (int i = 0; i < 12; ++i) image.rgb.insert(image.rgb.end(), pixel);
  return image;
}

TEST(Flags, BlackAndConstantPicturesAreTold) {
  EXPECT_TRUE(is_black(filled({0, 0, 0})));
  EXPECT_TRUE(is_black(filled({2, 1, 0})));
  EXPECT_FALSE(is_black(filled({0, 0, 3})));
  EXPECT_TRUE(is_constant(filled({0, 0, 0})));
  EXPECT_TRUE(is_constant(filled({200, 10, 255})));
  for (size_t i = 0; i < 36; ++i) {
    Image image = filled({200, 10, 100});
    image.rgb[i] += 2;
    EXPECT_TRUE(is_constant(image)) << i;
    image.rgb[i] += 1;
    EXPECT_FALSE(is_constant(image)) << i;
    Image dark = filled({0, 0, 0});
    dark.rgb[i] = 3;
    EXPECT_FALSE(is_black(dark)) << i;
  }
  EXPECT_FLUXQ_ERROR(is_black(Image{}), bad_argument, "0 x 0");
  EXPECT_FLUXQ_ERROR(is_constant(Image{}), bad_argument, "0 x 0");
}

}  // namespace
}  // namespace fluxq
