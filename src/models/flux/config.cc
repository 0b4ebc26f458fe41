#include "models/flux/config.h"

namespace fluxq {

FluxConfig parse_flux_config(const Json& config, std::string_view where, Progress& progress) {
  require_value(config, "_class_name", where, "FluxTransformer2DModel");
  FluxConfig result;
  result.heads = require_int(config, "num_attention_heads", where, 1, kMaxHeads);
  result.head_dim = require_int(config, "attention_head_dim", where, 2, 1024);
  capped_product(result.heads, result.head_dim, kMaxWidth,
                 "num_attention_heads x attention_head_dim", where);
  result.double_blocks = require_int(config, "num_layers", where, 0, kMaxLayers);
  result.single_blocks = require_int(config, "num_single_layers", where, 0, kMaxLayers);
  result.in_channels = require_int(config, "in_channels", where, 4, kMaxWidth);
  result.text_dim = require_int(config, "joint_attention_dim", where, 1, kMaxWidth);
  result.pooled_dim = require_int(config, "pooled_projection_dim", where, 1, kMaxWidth);
  result.guidance = optional_bool(config, "guidance_embeds", where, false);

  const int64_t out = optional_int(config, "out_channels", where, result.in_channels, 1, kMaxWidth);
  if (out != result.in_channels || result.in_channels % 4 != 0) {
    fail(ErrorCode::unsupported,
         "{}: in_channels: expected 4 x the latent channels and as many out_channels "
         "(text to image), got {} in and {} out",
         where, result.in_channels, out);
  }
  const int64_t patch = optional_int(config, "patch_size", where, 1, 1, kMaxWidth);
  if (patch != 1) fail(ErrorCode::unsupported, "{}: patch_size: expected 1, got {}", where, patch);

  if (const Json* axes = find_member(config, "axes_dims_rope", where); axes && !axes->is_null()) {
    const std::vector<int64_t> dims =
        require_ints(config, "axes_dims_rope", where, 2, kMaxWidth, result.axes.size());
    if (dims.size() != result.axes.size())
      fail(ErrorCode::corrupt_file, "{}: axes_dims_rope: expected {} axes, got {}", where,
           result.axes.size(), dims.size());
    std::ranges::copy(dims, result.axes.begin());
  }
  const auto& [a, b, c] = result.axes;
  if (a % 2 != 0 || b % 2 != 0 || c % 2 != 0 || a + b + c != result.head_dim) {
    fail(ErrorCode::corrupt_file,
         "{}: axes_dims_rope: expected three even sizes with the sum {} (attention_head_dim), got "
         "[{}, {}, {}]",
         where, result.head_dim, a, b, c);
  }
  warn_unknown_keys(config, where,
                    {"num_attention_heads", "attention_head_dim", "num_layers", "num_single_layers",
                     "in_channels", "out_channels", "joint_attention_dim", "pooled_projection_dim",
                     "guidance_embeds", "patch_size", "axes_dims_rope"},
                    progress);
  return result;
}

}  // namespace fluxq
