#include "models/t5/config.h"

namespace fluxq {

T5Config parse_t5_config(const Json& config, std::string_view where, Progress& progress) {
  require_value(config, "model_type", where, "t5");
  require_flag(config, "is_decoder", where, false);
  T5Config result;
  result.vocabulary = require_int(config, "vocab_size", where, 1, kMaxVocabulary);
  result.width = require_int(config, "d_model", where, 1, kMaxWidth);
  result.heads = require_int(config, "num_heads", where, 1, kMaxHeads);
  result.head_dim = require_int(config, "d_kv", where, 1, 1024);
  capped_product(result.heads, result.head_dim, kMaxWidth, "num_heads x d_kv", where);
  result.feed_forward = require_int(config, "d_ff", where, 1, kMaxWidth);
  result.layers = require_int(config, "num_layers", where, 1, kMaxLayers);
  // Half of the buckets are for one direction, half of those for single positions: at least one.
  result.buckets = optional_int(config, "relative_attention_num_buckets", where, 32, 4, kMaxWidth);
  result.max_distance = optional_int(config, "relative_attention_max_distance", where, 128,
                                     result.buckets / 4 + 1, int64_t{1} << 31);
  result.eps = static_cast<float>(optional_number(config, "layer_norm_epsilon", where, 1e-6, 0, 1));

  // transformers derives gate and activation from feed_forward_proj, "gated-gelu" meaning the tanh
  // form, and then lets the file's own is_gated_act and dense_act_fn decide if they are there.
  const std::string form = optional_string(config, "feed_forward_proj", where, "relu");
  result.gated = form.starts_with("gated-");
  std::string act = result.gated ? form.substr(6) : form;
  if (result.gated && act == "gelu") act = "gelu_new";
  parse_act(act, "feed_forward_proj", where);
  act = optional_string(config, "dense_act_fn", where, act);
  result.act = parse_act(act, "dense_act_fn", where);
  result.gated = optional_bool(config, "is_gated_act", where, result.gated);

  warn_unknown_keys(
      config, where,
      {"is_decoder", "vocab_size", "d_model", "num_heads", "d_kv", "d_ff", "num_layers",
       "relative_attention_num_buckets", "relative_attention_max_distance", "layer_norm_epsilon",
       "feed_forward_proj", "dense_act_fn", "is_gated_act",
       // of the decoder, of training, and of the tokenizer
       "num_decoder_layers", "decoder_start_token_id", "scale_decoder_outputs",
       "is_encoder_decoder", "tie_word_embeddings", "dropout_rate", "classifier_dropout",
       "initializer_factor", "eos_token_id", "pad_token_id", "task_specific_params"},
      progress);
  return result;
}

}  // namespace fluxq
