/// text_encoder_2/config.json: transformers' T5EncoderModel (v1.0 and v1.1).
#pragma once

#include "models/config.h"

namespace fluxq {

struct T5Config {
  int64_t vocabulary = 32128;
  int64_t width = 4096;          ///< d_model
  int64_t heads = 64;            ///< num_heads
  int64_t head_dim = 64;         ///< d_kv; heads x head_dim may differ from the width
  int64_t feed_forward = 10240;  ///< d_ff
  int64_t layers = 24;           ///< num_layers
  int64_t buckets = 32;          ///< relative_attention_num_buckets
  int64_t max_distance = 128;    ///< relative_attention_max_distance
  Act act = Act::gelu_tanh;      ///< from feed_forward_proj
  bool gated = true;             ///< feed_forward_proj "gated-..."
  float eps = 1e-6f;             ///< layer_norm_epsilon

  int64_t inner() const { return heads * head_dim; }
};

/// Errors: corrupt_file for missing keys, wrong types and sizes that do not fit together;
/// unsupported for a decoder and unknown activations. Unknown keys are warned of.
T5Config parse_t5_config(const Json& config, std::string_view where, Progress& progress);

}  // namespace fluxq
