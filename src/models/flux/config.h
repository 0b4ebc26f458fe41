/// transformer/config.json of a FLUX.1 model: diffusers' FluxTransformer2DModel.
#pragma once

#include <array>

#include "models/config.h"

namespace fluxq {

struct FluxConfig {
  int64_t heads = 24;          ///< num_attention_heads
  int64_t head_dim = 128;      ///< attention_head_dim
  int64_t double_blocks = 19;  ///< num_layers
  int64_t single_blocks = 38;  ///< num_single_layers
  int64_t in_channels = 64;    ///< of a latent token, in and out: 4 x the VAE's latent channels
  int64_t text_dim = 4096;     ///< joint_attention_dim: width of the T5 encoder's output
  int64_t pooled_dim = 768;    ///< pooled_projection_dim: width of the CLIP encoder's output
  bool guidance = false;       ///< guidance_embeds: a distilled guidance scale is an input (dev)
  std::array<int64_t, 3> axes = {16, 56, 56};  ///< axes_dims_rope; sum = head_dim

  int64_t hidden() const { return heads * head_dim; }
  int64_t mlp() const { return 4 * hidden(); }
};

/// Errors: corrupt_file for missing keys, wrong types and sizes that do not fit together;
/// unsupported for another class, a patch size, or inputs other than text (Fill, Canny, Depth).
/// Unknown keys are warned of.
FluxConfig parse_flux_config(const Json& config, std::string_view where, Progress& progress);

}  // namespace fluxq
