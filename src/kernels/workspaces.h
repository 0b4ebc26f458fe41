/// What the operations of a GPU take of the arena for themselves, at most: shared by those that
/// keep to it and by whoever plans memory.
#pragma once

#include <cstdint>

namespace fluxq {

/// A product's. Algorithms of cuBLASLt that want more do not take part.
inline constexpr int64_t kProductWorkspaceBytes = int64_t{64} << 20;
/// The scores of attention in three steps, for some queries at a time; a product's comes beside it.
inline constexpr int64_t kScoreBytes = int64_t{128} << 20;
/// An attention's or a convolution's. Engines of cuDNN that want more do not take part.
inline constexpr int64_t kDnnWorkspaceBytes = int64_t{192} << 20;

}  // namespace fluxq
