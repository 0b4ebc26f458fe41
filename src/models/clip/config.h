/// text_encoder/config.json: transformers' CLIPTextModel.
#pragma once

#include "models/config.h"

namespace fluxq {

struct ClipConfig {
  int64_t vocabulary = 49408;
  int64_t width = 768;          ///< hidden_size; also that of the pooled output
  int64_t heads = 12;           ///< num_attention_heads
  int64_t feed_forward = 3072;  ///< intermediate_size
  int64_t layers = 12;          ///< num_hidden_layers
  int64_t positions = 77;       ///< max_position_embeddings: the longest text
  Act act = Act::quick_gelu;    ///< hidden_act
  float eps = 1e-5f;            ///< layer_norm_eps
  /// The token whose state is the pooled output: its first occurrence; with 2, which old configs
  /// have by mistake, the largest id of the text.
  int64_t eos = 2;

  int64_t head_dim() const { return width / heads; }
};

/// Errors: corrupt_file for missing keys, wrong types and sizes that do not fit together;
/// unsupported for unknown activations and several end tokens. Unknown keys are warned of.
ClipConfig parse_clip_config(const Json& config, std::string_view where, Progress& progress);

}  // namespace fluxq
