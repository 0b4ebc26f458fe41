/// The parameters of a FLUX.1 transformer, grouped as its forward pass uses them. Names are those
/// of diffusers' FluxTransformer2DModel.
#pragma once

#include "models/flux/config.h"
#include "models/weights.h"

namespace fluxq {

/// Half of a double block: what the text, or the image, does on its own.
struct FluxStream {
  Linears qkv;            ///< Linear::qkv
  Tensor q_norm, k_norm;  ///< [head_dim]
  Linears out;            ///< of the attention
  Linears up, down;       ///< the MLP
};

struct FluxDoubleBlock {
  FluxStream image, text;
};

struct FluxSingleBlock {
  Linears qkv_mlp;  ///< two that read one input: q, k, v side by side, and the MLP's first layer
  Tensor q_norm, k_norm;
  Linears out_attention, out_mlp;  ///< proj_out, split by where its input lies
};

/// A number's sinusoids, or the pooled text, to the model's width: two layers with SiLU between.
struct FluxEmbedder {
  Linears in, out;
};

/// What is used once, before the steps.
struct FluxConditionWeights {
  FluxConditionWeights(const FluxConfig& config, WeightSource& source);

  Linears context_embedder;
  FluxEmbedder time, guidance, pooled;
  /// The adaLN layers of all blocks, then norm_out: they all read SiLU of the conditioning. Their
  /// outputs lie side by side in the order of FluxModulation.
  Linears modulation;
};

/// What is used in every step.
struct FluxStepWeights {
  FluxStepWeights(const FluxConfig& config, WeightSource& source);

  Linears x_embedder;
  std::vector<FluxDoubleBlock> double_blocks;
  std::vector<FluxSingleBlock> single_blocks;
  Linears proj_out;
};

/// Where the modulation vectors of each block lie in a row of the outputs of
/// FluxConditionWeights::modulation: the first column of six vectors [hidden] for each stream of a
/// double block, of three for a single block, of two for norm_out.
class FluxModulation {
 public:
  explicit FluxModulation(const FluxConfig& config)
      : hidden_(config.hidden()),
        double_blocks_(config.double_blocks),
        single_blocks_(config.single_blocks) {}

  int64_t image(int64_t block) const { return block * 12 * hidden_; }
  int64_t text(int64_t block) const { return image(block) + 6 * hidden_; }
  int64_t single(int64_t block) const { return image(double_blocks_) + block * 3 * hidden_; }
  int64_t last() const { return single(single_blocks_); }
  int64_t columns() const { return last() + 2 * hidden_; }

 private:
  int64_t hidden_, double_blocks_, single_blocks_;
};

}  // namespace fluxq
