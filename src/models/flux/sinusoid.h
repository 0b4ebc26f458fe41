/// How FLUX sees numbers (the time, the guidance scale): as 256 cosines and sines.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace fluxq {

inline constexpr int64_t kSinusoidWidth = 256;

/// [values, 256] in `stream`, on the host: 128 cosines, then 128 sines of value * 10000^(-i / 128),
/// in float32 as diffusers' Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0).
Tensor sinusoids(std::span<const float> values, DType stream);

/// A time in [0, 1000] (or, for `scale` 1000, a guidance scale) as the model sees it. diffusers
/// divides the time by 1000 and multiplies it again in the dtype of the latents; in bfloat16 that
/// moves it: 752 becomes 752, 251 becomes 250.
float model_time(float time, DType stream);
float model_guidance(float guidance, DType stream);

}  // namespace fluxq
