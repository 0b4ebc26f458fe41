#include "image/sheet.h"

#include <algorithm>

#include "image/check.h"

namespace fluxq {

Image contact_sheet(std::span<const Image> images, int columns, int gap) {
  constexpr int kMaxGap = 4096;
  if (images.empty() || columns < 1 || gap < 0 || gap > kMaxGap)
    fail(ErrorCode::bad_argument,
         "contact sheet: expected pictures, at least 1 column and a gap of 0 to {}, got {} "
         "pictures, {} columns and a gap of {}",
         kMaxGap, images.size(), columns, gap);
  const Image& first = images.front();
  for (const Image& image : images) check_same_size(first, image, "contact sheet");

  const int64_t count = static_cast<int64_t>(images.size());
  const int64_t across = std::min<int64_t>(columns, count);
  const int64_t down = (count + across - 1) / across;
  const int64_t width = across * (first.width + gap) - gap;
  const int64_t height = down * (first.height + gap) - gap;
  if (width > kMaxPixels / height)
    fail(ErrorCode::bad_argument, "contact sheet: expected at most {} pixels, got {} x {}",
         kMaxPixels, width, height);
  Image sheet{static_cast<int>(width), static_cast<int>(height), {}};
  sheet.rgb.assign(static_cast<size_t>(width * height) * 3, 255);
  const size_t row_bytes = static_cast<size_t>(first.width) * 3;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t left = i % across * (first.width + gap);
    const int64_t top = i / across * (first.height + gap);
    for (int64_t y = 0; y < first.height; ++y)
      std::copy_n(&images[i].rgb[y * row_bytes], row_bytes,
                  &sheet.rgb[((top + y) * width + left) * 3]);
  }
  return sheet;
}

}  // namespace fluxq
