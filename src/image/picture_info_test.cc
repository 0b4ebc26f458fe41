#include "image/picture_info.h"

#include <limits>

#include "base/test_support.h"
#include "image/png.h"

namespace fluxq {
namespace {

PictureInfo sample() {
  return {.prompt = "a fox",
          .seed = std::numeric_limits<uint64_t>::max(),
          .steps = 4,
          .width = 256,
          .height = 128,
          .guidance = 3.5,
          .max_text_tokens = 256,
          .scheme = "int8dq",
          .recipe = "",
          .sampler = "flow_match_euler shift=1",
          .model = "emoji-flux",
          .weights_sha256 = std::string(64, 'a'),
          .version = "0.1.0",
          .device = "cuda"};
}

TEST(PictureInfo, AnyPromptComesBackFromThePicture) {
  const Image image{2, 2, std::vector<uint8_t>(12, 77)};
  std::string huge;
  while (huge.size() < 100'000) huge += "\xf0\x9f\xa6\x8a \\u0000 \"<b>\" ";
  for (const std::string& prompt :
       {std::string(), std::string("plain"), std::string("\"quoted\" 'single' \\ back / slash"),
        std::string("\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80 e\xcc\x81 \xe7\x8c\xab"),
        std::string("line\nbreak\r\ttab\x01\x1f\x7f"), std::string("</script><!-- ]]> {}[]"),
        huge}) {
    PictureInfo info = sample();
    info.prompt = prompt;
    const std::vector<std::byte> png = encode_png(image, &info);
    EXPECT_EQ(png, encode_png(image, &info));
    EXPECT_EQ(read_picture_info(png, "x"), info);
    EXPECT_EQ(decode_png(png, "x").image, image);
  }
}

TEST(PictureInfo, NumbersComeBackExactly) {
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1} << 32, uint64_t{1} << 63, ~uint64_t{0}})
    for (const double guidance : {0.0, 0.1, 3.5, 1e-300, -1.0 / 3}) {
      PictureInfo info = sample();
      info.seed = seed;
      info.guidance = guidance;
      EXPECT_EQ(picture_info_from_json(to_json(info), "x"), info);
    }
}

TEST(PictureInfo, PicturesWithoutADeviceAreTheCpus) {
  const std::string text = to_json(sample());
  const std::string device = R"("device":"cuda",)";
  const size_t at = text.find(device);
  ASSERT_NE(at, std::string::npos);
  const PictureInfo info = picture_info_from_json(std::string(text).erase(at, device.size()), "x");
  EXPECT_EQ(info.device, "cpu");
  EXPECT_EQ(info.seed, sample().seed);
}

TEST(PictureInfo, OnlyAnUnusualAttentionIsSaid) {
  EXPECT_EQ(to_json(sample()).find("attention"), std::string::npos);
  EXPECT_EQ(picture_info_from_json(to_json(sample()), "x").attention, "bf16");
  PictureInfo info = sample();
  info.attention = "int8";
  EXPECT_NE(to_json(info).find(R"("attention":"int8")"), std::string::npos);
  EXPECT_EQ(picture_info_from_json(to_json(info), "x"), info);
}

TEST(PictureInfo, WhatCannotBeKeptIsRefused) {
  const auto refused = [](auto change) {
    PictureInfo info = sample();
    change(info);
    EXPECT_FLUXQ_ERROR(to_json(info), bad_argument, "picture metadata: ");
  };
  refused([](PictureInfo& info) { info.prompt = std::string("a\0b", 3); });
  refused([](PictureInfo& info) { info.prompt = "\xff\xfe"; });
  refused([](PictureInfo& info) { info.prompt = "cut \xf0\x9f"; });
  refused([](PictureInfo& info) { info.prompt.assign((1 << 20) + 1, 'a'); });
  refused([](PictureInfo& info) { info.guidance = std::numeric_limits<double>::quiet_NaN(); });
  refused([](PictureInfo& info) { info.weights_sha256 = "ABC"; });
  refused([](PictureInfo& info) { info.steps = -1; });
}

TEST(PictureInfo, APictureWithoutInfoSaysSo) {
  const std::vector<std::byte> png = encode_png(Image{1, 1, {1, 2, 3}});
  EXPECT_FLUXQ_ERROR(read_picture_info(png, "x.png"), not_found, "x.png");
}

TEST(PictureInfo, DamagedInfoIsRefusedByName) {
  const std::string good = to_json(sample());
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  const std::pair<std::string, std::string> cases[] = {
      {"", "JSON"},
      {"{\"format\":1", "JSON"},
      {"[1]", "expected an object"},
      {"7", "expected an object"},
      {std::string(100'000, '['), "nesting"},
      {replaced("\"format\":1", "\"format\":\"1\""), "format"},
      {replaced("\"steps\":4", "\"step\":4"), "steps"},
      {replaced("\"steps\":4", "\"steps\":4.0"), "steps"},
      {replaced("\"steps\":4", "\"steps\":-4"), "steps"},
      {replaced("\"steps\":4", "\"steps\":2147483648"), "steps"},
      {replaced("18446744073709551615", "18446744073709551616"), "seed"},
      {replaced("\"guidance\":3.5", "\"guidance\":1e999"), "JSON"},
      {replaced("\"guidance\":3.5", "\"guidance\":null"), "guidance"},
      {replaced("a fox", "a\\u0000fox"), "NUL"},
      {replaced("a fox", "a\xff"), "JSON"},
      {replaced("a fox", "\\ud800"), "JSON"},
  };
  for (const auto& [text, part] : cases)
    EXPECT_FLUXQ_ERROR(picture_info_from_json(text, "x.png"), corrupt_file, part);
  EXPECT_FLUXQ_ERROR(picture_info_from_json(replaced("\"format\":1", "\"format\":2"), "x.png"),
                     unsupported, "newer");
  EXPECT_EQ(picture_info_from_json(replaced("{", "{\"later\":[{}],"), "x"), sample());
}

}  // namespace
}  // namespace fluxq
