#include "image/sheet.h"

#include "base/test_support.h"

namespace fluxq {
namespace {

Image filled(int width, int height, uint8_t value) {
  return {width, height, std::vector<uint8_t>(size_t{3} * width * height, value)};
}

// The red channel as text, one digit a pixel, 'w' for white.
std::string drawn(const Image& image) {
  std::string text;
  for (int y = 0; y < image.height; ++y, text += '/')
    for (int x = 0; x < image.width; ++x) {
      const uint8_t value = image.rgb[3 * (y * image.width + x)];
      text += value == 255 ? 'w' : static_cast<char>('0' + value);
    }
  return text;
}

TEST(ContactSheet, PlacesPicturesInReadingOrder) {
  const Image images[] = {filled(2, 1, 1), filled(2, 1, 2), filled(2, 1, 3)};
  EXPECT_EQ(drawn(contact_sheet(images, 2, 1)), "11w22/wwwww/33www/");
  EXPECT_EQ(drawn(contact_sheet(images, 1, 0)), "11/22/33/");
  EXPECT_EQ(drawn(contact_sheet(images, 100, 1)), "11w22w33/");
}

TEST(ContactSheet, RefusesWhatHasNoSheet) {
  const Image images[] = {filled(2, 1, 1), filled(1, 2, 2)};
  EXPECT_FLUXQ_ERROR(contact_sheet(images, 2, 1), bad_argument, "2 x 1 and 1 x 2");
  EXPECT_FLUXQ_ERROR(contact_sheet({}, 2, 1), bad_argument, "0 pictures");
  const std::span<const Image> one(images, 1);
  EXPECT_FLUXQ_ERROR(contact_sheet(one, 0, 1), bad_argument, "0 columns");
  EXPECT_FLUXQ_ERROR(contact_sheet(one, 1, -1), bad_argument, "gap of -1");
  const std::vector<Image> many(100, filled(1, 1, 0));
  EXPECT_FLUXQ_ERROR(contact_sheet(many, 10, 4096), bad_argument, "36874 x 36874");
}

}  // namespace
}  // namespace fluxq
