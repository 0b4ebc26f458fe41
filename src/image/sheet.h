/// Several pictures in one.
#pragma once

#include <span>

#include "fluxq/image.h"

namespace fluxq {

/// Pictures of one size in rows of `columns`, in reading order, `gap` white pixels between them
/// (none around). The last row may be short. bad_argument: no picture, unequal sizes (named),
/// columns < 1, gap < 0, more than kMaxPixels.
Image contact_sheet(std::span<const Image> images, int columns, int gap);

}  // namespace fluxq
