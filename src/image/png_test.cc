#include "image/png.h"

#include <zlib.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include "base/test_support.h"
#include "image/check.h"

namespace fluxq {
namespace {

using Bytes = std::vector<std::byte>;

Bytes golden_file(const std::string& name) {
  std::ifstream stream(FLUXQ_SOURCE_DIR "/tests/golden/image/" + name, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  EXPECT_FALSE(text.empty()) << name;
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return Bytes(first, first + text.size());
}

Image noise(int width, int height, uint32_t seed = 1) {
  Image image{width, height, std::vector<uint8_t>(size_t{3} * width * height)};
  std::mt19937 random(seed);
  for (uint8_t& value : image.rgb) value = static_cast<uint8_t>(random());
  return image;
}

void put_u32(Bytes& bytes, size_t at, uint32_t value) {
  for (int i = 0; i < 4; ++i) bytes[at + i] = std::byte(value >> (24 - 8 * i));
}

uint32_t get_u32(const Bytes& bytes, size_t at) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | std::to_integer<uint32_t>(bytes[at + i]);
  return value;
}

// A PNG put together by hand, chunk by chunk, with right checksums.
void add_chunk(Bytes& png, const std::string& type, const std::string& data) {
  const size_t at = png.size();
  png.resize(at + 12 + data.size());
  put_u32(png, at, static_cast<uint32_t>(data.size()));
  std::memcpy(&png[at + 4], type.data(), 4);
  std::memcpy(&png[at + 8], data.data(), data.size());
  put_u32(png, at + 8 + data.size(),
          static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(&png[at + 4]),
                                      static_cast<uInt>(4 + data.size()))));
}

std::string header(uint32_t width, uint32_t height, int depth = 8, int colour = 2,
                   int interlace = 0) {
  Bytes bytes(13);
  put_u32(bytes, 0, width);
  put_u32(bytes, 4, height);
  bytes[8] = std::byte(depth);
  bytes[9] = std::byte(colour);
  bytes[12] = std::byte(interlace);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string deflated(const std::string& raw) {
  uLongf size = compressBound(raw.size());
  std::string out(size, '\0');
  compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(raw.data()),
            raw.size(), 9);
  out.resize(size);
  return out;
}

using Chunks = std::vector<std::pair<std::string, std::string>>;

Bytes make_png(const Chunks& chunks) {
  Bytes png;
  for (const char value : std::string("\x89PNG\r\n\x1a\n")) png.push_back(std::byte(value));
  for (const auto& [type, data] : chunks) add_chunk(png, type, data);
  return png;
}

// 2 x 1 pixels of RGB.
Bytes small_png(const Chunks& before_pixels = {}, const Chunks& after_pixels = {}) {
  Chunks chunks = {{"IHDR", header(2, 1)}};
  chunks.insert(chunks.end(), before_pixels.begin(), before_pixels.end());
  chunks.emplace_back("IDAT", deflated(std::string("\0abcdef", 7)));
  chunks.insert(chunks.end(), after_pixels.begin(), after_pixels.end());
  chunks.emplace_back("IEND", "");
  return make_png(chunks);
}

#define EXPECT_REFUSED(bytes, code, part) EXPECT_FLUXQ_ERROR(decode_png(bytes, "x"), code, part)

TEST(Png, PixelsComeBackForAnySize) {
  for (const auto& [width, height] : {std::pair{1, 1}, {1, 7}, {7, 1}, {3, 5}, {256, 256}}) {
    const Image image = noise(width, height);
    const Bytes bytes = encode_png(image);
    EXPECT_EQ(bytes, encode_png(image));
    EXPECT_EQ(decode_png(bytes, "x").image, image);
  }
}

TEST(Png, PixelsAndInfoComeBackFromAFile) {
  const TempFolder folder;
  const std::filesystem::path path = folder / "a.png";
  const Image image = noise(5, 3);
  PictureInfo info;
  info.prompt = "a fox";
  write_png(path, image, &info);
  EXPECT_EQ(read_png(path).image, image);
  EXPECT_EQ(read_picture_info(read_png_bytes(path), "x"), info);
  EXPECT_FLUXQ_ERROR(read_png(folder / "other.png"), not_found, "other.png");
}

TEST(Png, AnImageThatContradictsItselfIsRefused) {
  for (const Image& image : {Image{}, Image{2, 2, std::vector<uint8_t>(11)}, Image{-1, 4, {}},
                             Image{1 << 14, 1 << 14, {}}})
    EXPECT_FLUXQ_ERROR(encode_png(image), bad_argument, "picture to write");
}

// The same pictures as Pillow reads them (tools/golden/image.py): 16 bit, grey of 1 to 16 bits,
// palettes with and without transparency, alpha on white, interlaced.
TEST(Png, EveryKindOfPngReadsAsPillowReadsIt) {
  for (const char* kind : {"rgb8", "rgb16", "rgba8", "rgba16", "grey1", "grey2", "grey4", "grey8",
                           "grey16", "grey_alpha8", "grey_transparent8", "palette1", "palette4",
                           "palette8", "palette8_transparent", "rgb_transparent8",
                           "rgb8_interlaced", "palette4_interlaced", "rgba16_interlaced"}) {
    const Image expected =
        decode_png(golden_file("expected_" + std::string(kind) + ".png"), kind).image;
    const Image image = decode_png(golden_file(std::string(kind) + ".png"), kind).image;
    EXPECT_EQ(image, expected) << kind;
  }
}

TEST(Png, TextOfEveryKindIsRead) {
  const std::string long_text(5000, 'z');
  const Bytes bytes = small_png({{"tEXt", std::string("a\0one", 5)},
                                 {"zTXt", std::string("b\0\0", 3) + deflated(long_text)},
                                 {"iTXt", std::string("c\0\0\0\0\0", 6) + "\xf0\x9f\xa6\x8a"}},
                                {{"iTXt", std::string("d\0\1\0\0\0", 6) + deflated("late")}});
  const std::vector<PngText> text = decode_png(bytes, "x").text;
  ASSERT_EQ(text.size(), 4u);
  EXPECT_EQ(text[0].text, "one");
  EXPECT_EQ(text[1].text, long_text);
  EXPECT_EQ(text[2].text, "\xf0\x9f\xa6\x8a");
  EXPECT_EQ(text[3].text, "late");
}

TEST(Png, FilesThatAreNoPngAreRefused) {
  EXPECT_REFUSED(Bytes(), corrupt_file, "expected a PNG file");
  EXPECT_REFUSED(Bytes(100), corrupt_file, "expected a PNG file");
  Bytes jpeg(64, std::byte{0xd8});
  EXPECT_REFUSED(jpeg, corrupt_file, "expected a PNG file");
  EXPECT_REFUSED(make_png({}), corrupt_file, "header");
  EXPECT_REFUSED(make_png({{"IEND", ""}, {"IEND", ""}, {"IEND", ""}}), corrupt_file, "IEND");
}

TEST(Png, ImpossibleSizesAreRefusedBeforeMemoryIsTaken) {
  const std::string pixels = deflated(std::string(100, '\0'));
  const auto sized = [&](uint32_t width, uint32_t height) {
    return make_png({{"IHDR", header(width, height)}, {"IDAT", pixels}, {"IEND", ""}});
  };
  EXPECT_REFUSED(sized(0, 5), corrupt_file, "0 x 5");
  EXPECT_REFUSED(sized(5, 0), corrupt_file, "5 x 0");
  EXPECT_REFUSED(sized(0x80000000u, 0x80000000u), corrupt_file, "2147483648");
  EXPECT_REFUSED(sized(0x7fffffff, 0x7fffffff), unsupported, "2147483647");
  EXPECT_REFUSED(sized(8193, 8192), unsupported, "8193 x 8192");
  EXPECT_REFUSED(sized(8192, 8192), corrupt_file, "too few");
  EXPECT_REFUSED(sized(1000, 1000), corrupt_file, "too few");
}

TEST(Png, BombsInTextAreRefused) {
  const std::string bomb = deflated(std::string(size_t{16} << 20, ' '));
  EXPECT_REFUSED(small_png({{"zTXt", std::string("k\0\0", 3) + bomb}}), corrupt_file, "");
  EXPECT_REFUSED(small_png({{"iTXt", std::string("k\0\1\0\0\0", 6) + bomb}}), corrupt_file, "");
  // A colour profile is not even looked at.
  EXPECT_EQ(decode_png(small_png({{"iCCP", std::string("k\0\0", 3) + bomb}}), "x").image.width, 2);
  Chunks many;
  for (int i = 0; i < 20000; ++i) many.emplace_back("tEXt", std::string("k\0v", 3));
  EXPECT_REFUSED(small_png(many), corrupt_file, "");
}

TEST(Png, ChunksAgainstTheRulesAreRefused) {
  const std::string rgb = deflated(std::string("\0abcdef", 7));
  const auto refuse = [](const Chunks& chunks, const std::string& part) {
    EXPECT_REFUSED(make_png(chunks), corrupt_file, part);
  };
  refuse({{"IHDR", header(2, 1, 3)}, {"IDAT", rgb}, {"IEND", ""}}, "");        // bit depth 3
  refuse({{"IHDR", header(2, 1, 8, 5)}, {"IDAT", rgb}, {"IEND", ""}}, "");     // colour type 5
  refuse({{"IHDR", header(2, 1, 8, 2, 2)}, {"IDAT", rgb}, {"IEND", ""}}, "");  // interlace 2
  refuse({{"IHDR", header(2, 1) + "x"}, {"IDAT", rgb}, {"IEND", ""}}, "");
  refuse({{"IHDR", header(2, 1)}, {"IHDR", header(2, 1)}, {"IDAT", rgb}, {"IEND", ""}}, "");
  refuse({{"IHDR", header(2, 1)}, {"IEND", ""}, {"IEND", ""}}, "");  // no pixels
  refuse({{"IHDR", header(2, 1)}, {"IDAT", rgb}}, "ends too early");
  refuse({{"IHDR", header(2, 1)}, {"IDAT", "not deflate"}, {"IEND", ""}}, "");
  refuse({{"IHDR", header(2, 1)}, {"IDAT", deflated("\0abc")}, {"IEND", ""}}, "");
  refuse({{"IHDR", header(2, 1)}, {"IDAT", deflated("\7abcdef")}, {"IEND", ""}}, "");  // filter 7
  refuse({{"IHDR", header(2, 1)}, {"CgBI", "1234"}, {"IDAT", rgb}, {"IEND", ""}}, "");
  refuse({{"IHDR", header(2, 1, 8, 3)}, {"IDAT", rgb}, {"IEND", ""}}, "");  // no palette
  refuse({{"IHDR", header(2, 1, 8, 3)},
          {"PLTE", "abc"},
          {"IDAT", deflated(std::string("\0\0\1", 3))},
          {"IEND", ""}},
         "palette");  // index 1 of 1
  Bytes too_long = small_png();
  put_u32(too_long, 8 + 25, 0x7fffffff);  // length of IDAT
  EXPECT_REFUSED(too_long, corrupt_file, "");
}

TEST(Png, EveryCutAndEveryWrongByteEndsInAnErrorOrAPicture) {
  PictureInfo info;
  info.prompt = "a fox";
  const Bytes bytes = encode_png(noise(9, 4), &info);
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_REFUSED(Bytes(bytes.begin(), bytes.begin() + size), corrupt_file, "");
  for (size_t at = 0; at < bytes.size(); ++at) {
    Bytes wrong = bytes;
    wrong[at] ^= std::byte{0x21};
    try {
      decode_png(wrong, "x");
      ADD_FAILURE() << "wrong byte " << at << " went unnoticed";
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::internal);
    }
  }
}

// Random damage under a right checksum reaches deeper than the test above.
TEST(Png, DamageUnderARightChecksumEndsInAnErrorOrAPicture) {
  std::mt19937 random(7);
  std::vector<Bytes> seeds = {golden_file("palette4_interlaced.png"), golden_file("rgba16.png"),
                              golden_file("grey_transparent8.png"),
                              small_png({{"zTXt", std::string("b\0\0", 3) + deflated("text")}})};
  int refused = 0;
  for (int round = 0; round < 4000; ++round) {
    Bytes bytes = seeds[round % seeds.size()];
    for (int i = 0; i < 3; ++i) bytes[8 + random() % (bytes.size() - 8)] = std::byte(random());
    for (size_t at = 8; at + 12 <= bytes.size();) {
      const size_t length = get_u32(bytes, at);
      if (length > bytes.size() - at - 12) break;
      put_u32(bytes, at + 8 + length,
              static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(&bytes[at + 4]),
                                          static_cast<uInt>(4 + length))));
      at += 12 + length;
    }
    try {
      check_image(decode_png(bytes, "x").image, "decoded");
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::bad_argument) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace fluxq
