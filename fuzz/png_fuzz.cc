/// A PNG file: pixels, text, and the story in it.
#include <zlib.h>

#include <cstdint>

#include "image/png.h"
#include "target.h"

namespace fluxq::fuzz {

void read(std::string_view input) {
  const auto bytes = std::as_bytes(std::span(input));
  const Png png = decode_png(bytes, "picture");
  expect(png.image.rgb.size() ==
             3 * static_cast<size_t>(png.image.width) * static_cast<size_t>(png.image.height),
         "there are three bytes per pixel");
  const PictureInfo info = read_picture_info(bytes, "picture");
  const std::string text = to_json(info);
  expect(to_json(picture_info_from_json(text, "again")) == text, "a story reads as it was written");
}

/// The checksums of all chunks, and the length of the last one.
std::string repaired(std::string input) {
  const auto byte = [&](size_t i) { return uint32_t{static_cast<unsigned char>(input[i])}; };
  const auto put = [&](size_t i, uint32_t value) {
    for (int k = 0; k < 4; ++k) input[i + k] = static_cast<char>(value >> (24 - 8 * k));
  };
  for (size_t at = 8; at + 12 <= input.size();) {
    uint32_t length = byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3);
    if (length > input.size() - at - 12) {
      length = static_cast<uint32_t>(input.size() - at - 12);
      put(at, length);
    }
    const auto* body = reinterpret_cast<const Bytef*>(input.data() + at + 4);
    put(at + 8 + length, static_cast<uint32_t>(::crc32(0, body, length + 4)));
    at += 12 + length;
  }
  return input;
}

}  // namespace fluxq::fuzz
