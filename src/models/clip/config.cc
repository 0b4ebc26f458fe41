#include "models/clip/config.h"

namespace fluxq {

ClipConfig parse_clip_config(const Json& config, std::string_view where, Progress& progress) {
  require_value(config, "model_type", where, "clip_text_model");
  ClipConfig result;
  result.vocabulary = require_int(config, "vocab_size", where, 1, kMaxVocabulary);
  result.width = require_int(config, "hidden_size", where, 1, kMaxWidth);
  result.heads = require_int(config, "num_attention_heads", where, 1, kMaxHeads);
  if (result.width % result.heads != 0) {
    fail(ErrorCode::corrupt_file,
         "{}: hidden_size: expected a multiple of the {} num_attention_heads, got {}", where,
         result.heads, result.width);
  }
  result.feed_forward = require_int(config, "intermediate_size", where, 1, kMaxWidth);
  result.layers = require_int(config, "num_hidden_layers", where, 1, kMaxLayers);
  result.positions = optional_int(config, "max_position_embeddings", where, 77, 1, kMaxWidth);
  result.act =
      parse_act(optional_string(config, "hidden_act", where, "quick_gelu"), "hidden_act", where);
  result.eps = static_cast<float>(optional_number(config, "layer_norm_eps", where, 1e-5, 0, 1));
  if (const Json* eos = find_member(config, "eos_token_id", where); eos && eos->is_array())
    fail(ErrorCode::unsupported, "{}: eos_token_id: expected one id, got {}", where,
         describe(*eos));
  result.eos = optional_int(config, "eos_token_id", where, 49407, 0, kMaxVocabulary);

  warn_unknown_keys(
      config, where,
      {"vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers",
       "max_position_embeddings", "hidden_act", "layer_norm_eps", "eos_token_id",
       // of training, of the tokenizer, and of a projection that is not used
       "bos_token_id", "pad_token_id", "projection_dim", "attention_dropout", "dropout",
       "initializer_range", "initializer_factor"},
      progress);
  return result;
}

}  // namespace fluxq
