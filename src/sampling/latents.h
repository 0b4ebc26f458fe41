/// FLUX's transformer sees latents as tokens: each 2 x 2 patch of all channels is one.
#pragma once

#include <cstdint>
#include <span>

namespace fluxq {

/// latents [channels, height, width] to tokens [(height / 2) (width / 2), 4 channels]: token (y, x)
/// in row order, column 4 c + 2 dy + dx (diffusers' FluxPipeline._pack_latents). Height and width
/// are even; both spans hold channels * height * width values and do not overlap (else Error
/// internal).
void pack_latents(std::span<const float> latents, int64_t channels, int64_t height, int64_t width,
                  std::span<float> tokens);

/// The way back.
void unpack_latents(std::span<const float> tokens, int64_t channels, int64_t height, int64_t width,
                    std::span<float> latents);

}  // namespace fluxq
