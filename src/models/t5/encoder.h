/// The T5 text encoder: transformers' T5EncoderModel (v1.0 and v1.1) without an attention mask, as
/// FluxPipeline runs it: padding tokens are seen.
#pragma once

#include "fluxq/cancel.h"
#include "models/t5/config.h"
#include "models/weights.h"

namespace fluxq {

struct T5Block {
  Tensor attention_norm;  ///< [width]
  Linears qkv;            ///< side by side
  Linears out;
  Tensor feed_forward_norm;
  Linears up;  ///< wi, or wi_0 (through the activation) and wi_1 (its factor) side by side
  Linears down;
};

struct T5Weights {
  /// `embedding` is the name of the token table: "shared.weight" or "encoder.embed_tokens.weight".
  T5Weights(const T5Config& config, WeightSource& source, const std::string& embedding);

  Tensor embedding;      ///< [vocabulary, width]
  Tensor position_bias;  ///< [buckets, heads], of block 0, used by all
  std::vector<T5Block> blocks;
  Tensor final_norm;
};

class T5Encoder {
 public:
  /// Checks the checkpoint against the config and loads it. Errors of WeightLoader.
  T5Encoder(const T5Config& config, WeightLoader& loader);
  static WeightPlan plan(const T5Config& config);

  const T5Config& config() const { return config_; }

  /// out [batch, tokens, width] = the last hidden states of `ids` (host, i32 [batch, tokens]).
  /// Errors: corrupt_file for an id outside the vocabulary (the tokenizer belongs to another
  /// model); cancelled between two blocks.
  void encode(const Tensor& ids, const Rows& out, const CancelToken& cancel);

 private:
  void run_block(const T5Block& block, const Rows& state) const;

  T5Config config_;
  Kernels& kernels_;
  DType stream_;
  T5Weights weights_;
  // The bias of all pairs of positions on the device, f32 [heads, tokens, tokens], for the number
  // of tokens of the latest call.
  Tensor bias_;
};

/// The bucket of key position minus query position, in [0, buckets): half of the buckets for each
/// direction, of those half for single distances and the others logarithmic up to `max_distance`.
int64_t t5_bucket(int64_t distance, int64_t buckets, int64_t max_distance);

}  // namespace fluxq
