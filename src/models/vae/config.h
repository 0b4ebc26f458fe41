/// vae/config.json: diffusers' AutoencoderKL, of which only the decoder is used.
#pragma once

#include "models/config.h"

namespace fluxq {

struct VaeConfig {
  int64_t latent_channels = 16;
  std::vector<int64_t> channels = {128, 256, 512, 512};  ///< block_out_channels, picture first
  int64_t layers_per_block = 2;  ///< of the encoder; the decoder has one more
  int64_t groups = 32;           ///< norm_num_groups
  bool mid_attention = true;     ///< mid_block_add_attention
  bool post_quant_conv = false;  ///< use_post_quant_conv
  float scaling = 0.3611f;       ///< scaling_factor
  float shift = 0;               ///< shift_factor; null means none

  /// Pixels per latent, in height and width: 8 for four blocks.
  int64_t scale() const { return int64_t{1} << (channels.size() - 1); }
};

/// Errors: corrupt_file for missing keys, wrong types and sizes that do not fit together;
/// unsupported for other block types and pictures without 3 channels. Unknown keys are warned of.
VaeConfig parse_vae_config(const Json& config, std::string_view where, Progress& progress);

}  // namespace fluxq
