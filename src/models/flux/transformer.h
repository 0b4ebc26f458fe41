/// FLUX.1's transformer: from noisy latents and a prompt's embeddings to the velocity that the
/// sampler follows. diffusers' FluxTransformer2DModel, written once for all devices and schemes.
///
/// What does not depend on the latents (the embedded text, every step's modulation, the rotary
/// table) is computed once by condition(); velocity() then runs the blocks on one joint buffer
/// [batch, text | image, hidden] in place. A single block's proj_out is two products into the
/// residual, one for the attention's part of its input and one for the MLP's: each part's input is
/// quantized for itself.
#pragma once

#include <functional>
#include <optional>

#include "fluxq/cancel.h"
#include "models/flux/weights.h"

namespace fluxq {

class FluxTransformer {
 public:
  /// What its weights are for: where memory is short, one half can go before the other comes.
  enum class Use : uint8_t { all, condition, velocity };

  /// Checks the checkpoint against the config, all of it, and loads what `use` needs. Errors of
  /// WeightLoader.
  FluxTransformer(const FluxConfig& config, WeightLoader& loader, Use use = Use::all);
  static WeightPlan plan(const FluxConfig& config, Use use = Use::all);

  const FluxConfig& config() const { return config_; }

  /// What a run is about. Tensors on the device, in the stream's dtype.
  struct Inputs {
    std::span<const float> times;   ///< one per step, 0..1000: sampling's transformer_timestep()
    float guidance = 3.5f;          ///< the scale that a user gives; unused without guidance embeds
    Rows prompt_embeds;             ///< [batch, text tokens, text_dim]
    Rows pooled;                    ///< [batch, 1, pooled_dim]
    int64_t height = 0, width = 0;  ///< of the image in tokens (16 pixels each with FLUX's VAE)
    AttentionPrecision attention = AttentionPrecision::bf16;
  };
  struct Conditioning {
    Tensor text;        ///< [batch, text tokens, hidden]
    Tensor modulation;  ///< [steps, batch, FluxModulation::columns()]
    Tensor rope;        ///< f32 [text + image tokens, head_dim / 2, 2]
    AttentionPrecision attention = AttentionPrecision::bf16;
  };
  /// In the arena: valid until the caller's scope ends. Not of a transformer for velocity() alone.
  Conditioning condition(const Inputs& inputs) const;

  /// out = the velocity of step `step` at `latents`, both [batch, height * width, in_channels].
  /// Error(cancelled) between two operations. Not of a transformer for condition() alone.
  void velocity(const Conditioning& conditioning, int64_t step, const Rows& latents,
                const Rows& out, const CancelToken& cancel) const;

 private:
  struct Step;
  Rows embed(const FluxEmbedder& embedder, const Rows& input) const;
  void attend(const Step& step, std::vector<JointAttention::Stream> streams,
              const std::function<void(JointAttention&)>& make_qkv) const;
  void run_double(const FluxDoubleBlock& block, int64_t index, const Step& step) const;
  void run_single(const FluxSingleBlock& block, int64_t index, const Step& step) const;

  FluxConfig config_;
  FluxModulation layout_;
  Kernels& kernels_;
  DType stream_;
  std::optional<FluxConditionWeights> condition_;
  std::optional<FluxStepWeights> steps_;
};

}  // namespace fluxq
