#include "models/vae/config.h"

#include "base/text.h"

namespace fluxq {
namespace {

constexpr size_t kMaxBlocks = 8;

// All entries of a list of block types are `expected`, and there are `count` of them.
void check_block_types(const Json& config, std::string_view key, std::string_view where,
                       std::string_view expected, size_t count) {
  const Json* types = find_member(config, key, where);
  if (!types || types->is_null()) return;
  if (!types->is_array() || types->size() != count)
    fail(ErrorCode::corrupt_file, "{}: {}: expected a list of {} block types, got {}", where, key,
         count, describe(*types));
  for (const Json& type : *types) {
    if (type != expected)
      fail(ErrorCode::unsupported, "{}: {}: expected \"{}\", the only one supported, got {}", where,
           key, expected, describe(type));
  }
}

}  // namespace

VaeConfig parse_vae_config(const Json& config, std::string_view where, Progress& progress) {
  require_value(config, "_class_name", where, "AutoencoderKL");
  require_value(config, "act_fn", where, "silu");
  VaeConfig result;
  result.latent_channels = require_int(config, "latent_channels", where, 1, kMaxWidth / 4);
  result.channels = require_ints(config, "block_out_channels", where, 1, kMaxWidth, kMaxBlocks);
  if (result.channels.empty())
    fail(ErrorCode::corrupt_file, "{}: block_out_channels: expected at least one block, got none",
         where);
  result.layers_per_block = optional_int(config, "layers_per_block", where, 1, 1, kMaxLayers);
  result.groups = optional_int(config, "norm_num_groups", where, 32, 1, kMaxWidth);
  for (const int64_t channels : result.channels) {
    if (channels % result.groups != 0)
      fail(ErrorCode::corrupt_file,
           "{}: block_out_channels: expected multiples of the {} norm_num_groups, got {}", where,
           result.groups, channels);
  }
  const int64_t picture_channels = optional_int(config, "out_channels", where, 3, 1, kMaxWidth);
  if (picture_channels != 3)
    fail(ErrorCode::unsupported, "{}: out_channels: expected 3, got {}", where, picture_channels);
  check_block_types(config, "up_block_types", where, "UpDecoderBlock2D", result.channels.size());
  result.mid_attention = optional_bool(config, "mid_block_add_attention", where, true);
  result.post_quant_conv = optional_bool(config, "use_post_quant_conv", where, true);
  result.scaling =
      static_cast<float>(optional_number(config, "scaling_factor", where, 0.18215, 1e-6, 1e6));
  result.shift = static_cast<float>(optional_number(config, "shift_factor", where, 0, -1e6, 1e6));

  warn_unknown_keys(config, where,
                    {"act_fn", "latent_channels", "block_out_channels", "layers_per_block",
                     "norm_num_groups", "out_channels", "up_block_types", "mid_block_add_attention",
                     "use_post_quant_conv", "scaling_factor", "shift_factor",
                     // of the encoder, of tiling, and such as FluxPipeline does not look at
                     "in_channels", "down_block_types", "use_quant_conv", "sample_size",
                     "force_upcast", "latents_mean", "latents_std"},
                    progress);
  return result;
}

}  // namespace fluxq
