/// PNG in and out, on libpng. Writing is deterministic: the same picture and info give the same
/// bytes. Reading takes bytes from anyone: for any input it returns or throws the documented Error,
/// within memory and time bounded by the size of the input and kMaxPixels.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fluxq/image.h"
#include "image/picture_info.h"

namespace fluxq {

/// A text chunk (tEXt, zTXt, iTXt): UTF-8 for iTXt, as stored else.
struct PngText {
  std::string keyword;
  std::string text;
};

struct Png {
  Image image;
  std::vector<PngText> text;  ///< in the order of the file
};

/// The picture as a PNG file, with its info when there is one. bad_argument as check_image and
/// to_json say.
std::vector<std::byte> encode_png(const Image& image, const PictureInfo* info = nullptr);

/// Reads a PNG file of any kind as 8-bit RGB; `where` names it in errors. 16 bits round to 8
/// (v / 257), grey and palette widen, interlacing is undone, transparency is laid on white. Gamma,
/// colour profiles and animation are not applied.
/// corrupt_file: not a PNG, truncated, wrong checksum, a chunk or pixel data against the rules, a
/// palette index out of range, no pixels. unsupported: more than kMaxPixels.
Png decode_png(std::span<const std::byte> bytes, std::string_view where);

/// encode_png into a file that appears complete or not at all (base/file.h has the errors).
void write_png(const std::filesystem::path& path, const Image& image,
               const PictureInfo* info = nullptr);

/// The bytes of a file that decode_png and read_picture_info take. Errors of InputFile;
/// unsupported above 512 MiB, which no picture of kMaxPixels needs.
std::vector<std::byte> read_png_bytes(const std::filesystem::path& path);

/// decode_png of a file.
Png read_png(const std::filesystem::path& path);

}  // namespace fluxq
