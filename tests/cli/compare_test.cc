/// `fluxq compare` as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "image/png.h"
#include "program.h"

namespace fluxq::testing {
namespace {

using ::testing::HasSubstr;

class CompareCommand : public ::testing::Test {
 protected:
  CompareCommand() {
    write_png(a_, Image{16, 16, std::vector<uint8_t>(16 * 16 * 3, 40)});
    write_png(b_, Image{16, 16, std::vector<uint8_t>(16 * 16 * 3, 50)});
  }

  TemporaryFolder folder_;
  std::string a_ = folder_ / "a.png", b_ = folder_ / "b.png";
};

TEST_F(CompareCommand, GivesFiguresAndADifferencePicture) {
  const Outcome outcome = run_fluxq({"compare", a_, b_, "-o", folder_ / "d.png", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json pair = parse_json(outcome.out, "stdout")["pairs"][0];
  EXPECT_NEAR(pair["psnr_db"].get<double>(), 28.13, 0.01);  // 20 log10(255 / 10)
  EXPECT_EQ(read_png(folder_ / "d.png").image.width, 16);
}

TEST_F(CompareCommand, WillNotWriteOverWhatItCompares) {
  const std::string before = read_bytes(a_);
  const Outcome picture = run_fluxq({"compare", a_, b_, "-o", a_});
  EXPECT_EQ(picture.status, 2);
  EXPECT_THAT(picture.err, HasSubstr("expected another place"));
  const std::string folder = folder_.path().string();
  EXPECT_EQ(run_fluxq({"compare", folder, folder, "-o", folder + "/."}).status, 2);
  EXPECT_EQ(read_bytes(a_), before);
}

TEST_F(CompareCommand, RefusesUnequalSizesAndMixedKinds) {
  write_png(b_, Image{32, 16, std::vector<uint8_t>(32 * 16 * 3, 50)});
  const Outcome sizes = run_fluxq({"compare", a_, b_});
  EXPECT_EQ(sizes.status, 2);
  EXPECT_THAT(sizes.err, HasSubstr("32"));
  EXPECT_EQ(run_fluxq({"compare", a_, folder_.path().string()}).status, 2);
  EXPECT_EQ(run_fluxq({"compare", a_, folder_ / "nowhere.png"}).status, 3);
}

}  // namespace
}  // namespace fluxq::testing
