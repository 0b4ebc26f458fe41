#include "report/compare.h"

#include <cmath>

#include "base/test_support.h"
#include "image/png.h"

namespace fluxq::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Image grey(int width, int height, uint8_t value) {
  return {width, height, std::vector<uint8_t>(static_cast<size_t>(width) * height * 3, value)};
}

TEST(Compare, EqualPicturesAreIdenticalOthersAreNot) {
  const PictureComparison same = compare_pictures(grey(16, 16, 9), grey(16, 16, 9), "x");
  EXPECT_TRUE(std::isinf(same.psnr_db));
  EXPECT_EQ(same.flip, 0);
  const PictureComparison other = compare_pictures(grey(16, 16, 0), grey(16, 16, 255), "x");
  EXPECT_NEAR(other.psnr_db, 0, 1e-9);
  EXPECT_GT(other.flip, 0.9);
  EXPECT_EQ(other.difference.width, 16);
  EXPECT_FALSE(compare_pictures(grey(8, 8, 1), grey(8, 8, 2), "x").ssim) << "smaller than a window";
}

TEST(Compare, UnequalSizesAreRefusedWithBoth) {
  EXPECT_FLUXQ_ERROR(compare_pictures(grey(16, 16, 0), grey(16, 32, 0), "x.png"), bad_argument,
                     "16");
  EXPECT_FLUXQ_ERROR(compare_pictures(grey(16, 16, 0), grey(16, 32, 0), "x.png"), bad_argument,
                     "32");
}

TEST(Compare, FoldersPairByNameAndSayWhatIsAlone) {
  const TempFolder a, b, differences;
  for (const char* name : {"same.png", "other.png", "size.png", "torn.png", "alone.png"})
    write_png(a / name, grey(16, 16, 50));
  write_png(b / "same.png", grey(16, 16, 50));
  write_png(b / "other.png", grey(16, 16, 60));
  write_png(b / "size.png", grey(32, 16, 50));
  write_test_file(b / "torn.png", "\x89PNG");
  write_png(b / "extra.png", grey(16, 16, 50));
  const FolderComparison comparison = compare_folders(a.path(), b.path(), differences.path());
  ASSERT_EQ(comparison.pairs.size(), 4u);  // other, same, size, torn
  EXPECT_EQ(comparison.pairs[0].problem, "");
  EXPECT_GT(comparison.pairs[0].flip, 0);
  EXPECT_EQ(comparison.pairs[1].flip, 0);
  EXPECT_THAT(comparison.pairs[2].problem, HasSubstr("32"));
  EXPECT_THAT(comparison.pairs[3].problem, HasSubstr("torn.png"));
  EXPECT_THAT(comparison.only_a, ElementsAre("alone.png"));
  EXPECT_THAT(comparison.only_b, ElementsAre("extra.png"));
  EXPECT_TRUE(std::filesystem::exists(differences / "other.png"));
  EXPECT_FALSE(std::filesystem::exists(differences / "torn.png"));
  const Json json = to_json(comparison);
  EXPECT_EQ(json["pairs"][1]["psnr_db"], "identical");
  EXPECT_EQ(json["mean"]["identical"], 1);
  EXPECT_THAT(to_text(comparison), HasSubstr("only in the second: extra.png"));
  const TempFolder empty;
  EXPECT_FLUXQ_ERROR(compare_folders(a.path(), empty.path(), {}), not_found, "found none");
}

}  // namespace
}  // namespace fluxq::report
