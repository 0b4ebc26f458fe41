#include "image/png.h"

#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "image/check.h"

namespace fluxq {
namespace {

// libpng reports an error by a jump out of C code, so C++ must keep two rules: `guarded` bodies
// own nothing that needs a destructor, and the callbacks below let no exception out.
struct Failure {
  char message[160] = "";
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* failure = static_cast<Failure*>(png_get_error_ptr(png));
  std::snprintf(failure->message, sizeof failure->message, "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

// Runs libpng calls; false when one failed.
template <typename Body>
bool guarded(png_structp png, const Body& body) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  body();
  return true;
}

struct Writer {
  Failure failure;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &failure, on_error, on_warning);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  std::vector<std::byte> bytes;

  Writer() = default;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { png_destroy_write_struct(&png, &info); }
};

void append(png_structp png, png_bytep data, size_t size) {
  auto& bytes = *static_cast<std::vector<std::byte>*>(png_get_io_ptr(png));
  bool grown = true;
  try {
    const auto* first = reinterpret_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), first, first + size);
  } catch (const std::bad_alloc&) {
    grown = false;
  }
  if (!grown) png_error(png, "out of memory");
}

struct Reader {
  Failure failure;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &failure, on_error, on_warning);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  std::span<const std::byte> rest;

  Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

void take(png_structp png, png_bytep data, size_t size) {
  auto& rest = *static_cast<std::span<const std::byte>*>(png_get_io_ptr(png));
  if (size > rest.size()) png_error(png, "the file ends too early");
  std::memcpy(data, rest.data(), size);
  rest = rest.subspan(size);
}

// Limits and strictness, before the first byte is read.
void configure(Reader& reader, size_t file_bytes) {
  png_structp png = reader.png;
  png_set_read_fn(png, &reader.rest, take);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_set_benign_errors(png, 0);  // an error for what libpng would repair or pass over
  // Any one chunk but pixel data, after inflation too: in proportion to the file, 8 MiB at most.
  constexpr size_t kMaxChunk = size_t{8} << 20;
  png_set_chunk_malloc_max(png, std::min(kMaxChunk, 32 * file_bytes + 65536));
  // Nothing but pixels, palette, transparency and text is looked at (profiles inflate, too).
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  static const png_byte kText[] = "tEXt\0zTXt\0iTXt";
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_AS_DEFAULT, kText, 3);
}

// Size and pixel budget of the header, checked before libpng and before any allocation.
void check_header(std::span<const std::byte> bytes, std::string_view where) {
  constexpr size_t kHeaderBytes = 8 + 8 + 13 + 4;  // signature, chunk head, IHDR, checksum
  const auto* raw = reinterpret_cast<const png_byte*>(bytes.data());
  if (bytes.size() < 8 || png_sig_cmp(raw, 0, 8) != 0)
    fail(ErrorCode::corrupt_file, "{}: expected a PNG file, got {} bytes of something else", where,
         bytes.size());
  if (bytes.size() < kHeaderBytes)
    fail(ErrorCode::corrupt_file, "{}: expected a PNG header of {} bytes, got {}", where,
         kHeaderBytes, bytes.size());
  const auto u32 = [&](size_t at) {
    return uint32_t{raw[at]} << 24 | uint32_t{raw[at + 1]} << 16 | uint32_t{raw[at + 2]} << 8 |
           uint32_t{raw[at + 3]};
  };
  if (std::memcmp(raw + 12, "IHDR", 4) != 0) return;  // libpng says what is wrong
  const uint64_t width = u32(16), height = u32(20);
  if (width == 0 || height == 0 || width > PNG_UINT_31_MAX || height > PNG_UINT_31_MAX)
    fail(ErrorCode::corrupt_file, "{}: expected sides of 1 to 2147483647 pixels, got {} x {}",
         where, width, height);
  if (width * height > static_cast<uint64_t>(kMaxPixels))
    fail(ErrorCode::unsupported, "{}: expected at most {} pixels, got {} x {}", where, kMaxPixels,
         width, height);
}

// One channel of a colour laid on white: c * a + 255 * (1 - a), rounded to nearest.
uint8_t on_white(int colour, int alpha) {
  return static_cast<uint8_t>((colour * alpha + 255 * (255 - alpha) + 127) / 255);
}

std::vector<uint8_t> lay_on_white(std::span<const uint8_t> rgba) {
  std::vector<uint8_t> rgb(rgba.size() / 4 * 3);
  for (size_t i = 0; i < rgb.size() / 3; ++i)
    for (size_t c = 0; c < 3; ++c) rgb[3 * i + c] = on_white(rgba[4 * i + c], rgba[4 * i + 3]);
  return rgb;
}

// The colours of palette indices. Done here because libpng shows an index past the palette as
// black.
std::vector<uint8_t> look_up(const Reader& reader, std::span<const uint8_t> indices,
                             std::string_view where) {
  png_colorp colours = nullptr;
  png_bytep alphas = nullptr;
  int colour_count = 0, alpha_count = 0;
  png_get_PLTE(reader.png, reader.info, &colours, &colour_count);
  png_get_tRNS(reader.png, reader.info, &alphas, &alpha_count, nullptr);
  std::vector<uint8_t> rgb;
  rgb.reserve(indices.size() * 3);
  for (const int index : indices) {
    if (index >= colour_count)
      fail(ErrorCode::corrupt_file, "{}: expected palette indices below {}, got {}", where,
           colour_count, index);
    const png_color& colour = colours[index];
    const int alpha = index < alpha_count ? alphas[index] : 255;
    for (const int c : {colour.red, colour.green, colour.blue}) rgb.push_back(on_white(c, alpha));
  }
  return rgb;
}

std::vector<PngText> texts_of(const Reader& reader) {
  png_textp entries = nullptr;
  int count = 0;
  png_get_text(reader.png, reader.info, &entries, &count);
  std::vector<PngText> text;
  for (int i = 0; i < count; ++i) {
    const bool international = entries[i].compression >= PNG_ITXT_COMPRESSION_NONE;
    const size_t length = international ? entries[i].itxt_length : entries[i].text_length;
    text.push_back({entries[i].key, std::string(entries[i].text, length)});
  }
  return text;
}

}  // namespace

std::vector<std::byte> encode_png(const Image& image, const PictureInfo* info) {
  check_image(image, "picture to write");
  std::string json = info != nullptr ? to_json(*info) : "";
  std::string keyword(kPictureInfoKeyword);
  png_text text{};
  text.compression = PNG_ITXT_COMPRESSION_NONE;
  text.key = keyword.data();
  text.text = json.data();

  Writer writer;
  if (writer.info == nullptr) fail(ErrorCode::out_of_memory_host, "no memory to write a PNG");
  const bool done = guarded(writer.png, [&] {
    png_structp png = writer.png;
    png_set_write_fn(png, &writer.bytes, append, nullptr);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(png, writer.info, static_cast<png_uint_32>(image.width),
                 static_cast<png_uint_32>(image.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (info != nullptr) png_set_text(png, writer.info, &text, 1);
    // Paeth residuals have runs but hardly longer repeats: on generated pictures run-length
    // matching gives smaller files than zlib's full search with adaptive filters, in a seventh of
    // the time.
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_PAETH);
    png_set_compression_level(png, 6);
    png_set_compression_strategy(png, Z_RLE);
    png_set_compression_buffer_size(png, size_t{1} << 16);
    png_write_info(png, writer.info);
    const size_t row_bytes = static_cast<size_t>(image.width) * 3;
    for (int y = 0; y < image.height; ++y) png_write_row(png, &image.rgb[y * row_bytes]);
    png_write_end(png, writer.info);
  });
  if (!done) fail(ErrorCode::internal, "writing a PNG failed: {}", writer.failure.message);
  return std::move(writer.bytes);
}

Png decode_png(std::span<const std::byte> bytes, std::string_view where) {
  check_header(bytes, where);
  Reader reader;
  if (reader.info == nullptr) fail(ErrorCode::out_of_memory_host, "no memory to read a PNG");
  const auto refuse = [&] {
    fail(ErrorCode::corrupt_file, "{}: a PNG file that breaks the rules: {}", where,
         reader.failure.message);
  };
  reader.rest = bytes;
  size_t raw_row_bytes = 0, channels = 0;
  int passes = 0;
  Png result;
  Image& image = result.image;
  if (!guarded(reader.png, [&] {
        png_structp png = reader.png;
        configure(reader, bytes.size());
        png_read_info(png, reader.info);
        raw_row_bytes = png_get_rowbytes(png, reader.info);
        if (png_get_color_type(png, reader.info) == PNG_COLOR_TYPE_PALETTE) {
          png_set_packing(png);
        } else {
          png_set_expand(png);
          png_set_gray_to_rgb(png);
        }
        png_set_scale_16(png);
        passes = png_set_interlace_handling(png);
        png_read_update_info(png, reader.info);
        image.width = static_cast<int>(png_get_image_width(png, reader.info));
        image.height = static_cast<int>(png_get_image_height(png, reader.info));
        channels = png_get_channels(png, reader.info);
      }))
    refuse();

  // Deflate makes at most 1032 bytes out of one, so a bomb is refused before memory is taken.
  const size_t pixels = static_cast<size_t>(image.width) * image.height;
  if (raw_row_bytes * image.height / 1032 > bytes.size())
    fail(ErrorCode::corrupt_file, "{}, {} x {} pixels: {} bytes are too few for its pixel data",
         where, image.width, image.height, bytes.size());
  std::vector<uint8_t> rows(pixels * channels);
  if (!guarded(reader.png, [&] {
        const size_t row_bytes = image.width * channels;
        for (int pass = 0; pass < passes; ++pass)
          for (int y = 0; y < image.height; ++y)
            png_read_row(reader.png, &rows[y * row_bytes], nullptr);
        png_read_end(reader.png, reader.info);
      }))
    refuse();

  if (channels == 1)
    image.rgb = look_up(reader, rows, where);
  else
    image.rgb = channels == 4 ? lay_on_white(rows) : std::move(rows);
  result.text = texts_of(reader);
  return result;
}

void write_png(const std::filesystem::path& file, const Picture& picture) {
  write_png(file, picture.image, &picture.info);
}

void write_png(const std::filesystem::path& path, const Image& image, const PictureInfo* info) {
  atomic_write(path, encode_png(image, info));
}

std::vector<std::byte> read_png_bytes(const std::filesystem::path& path) {
  constexpr uint64_t kMaxBytes = uint64_t{512} << 20;
  const InputFile file(path);
  if (file.size() > kMaxBytes)
    fail(ErrorCode::unsupported, "{}: expected a PNG of at most {} bytes, got {}", path.string(),
         kMaxBytes, file.size());
  std::vector<std::byte> bytes(file.size());
  file.read_at(0, bytes);
  return bytes;
}

Png read_png(const std::filesystem::path& path) {
  return decode_png(read_png_bytes(path), path.string());
}

}  // namespace fluxq
