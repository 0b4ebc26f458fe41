/// The decoder of the VAE: from latents to a picture. diffusers' AutoencoderKL.decode, in channels
/// last. Activations go through three buffers, so the peak of memory does not depend on the depth:
/// one of the largest size, and two smaller ones (half of it in FLUX.1). These are taken only where
/// they are needed, so that the middle block's attention and an upsampler have their room. A large
/// batch is decoded a few pictures at a time.
#pragma once

#include "fluxq/cancel.h"
#include "models/vae/config.h"
#include "models/weights.h"

namespace fluxq {

struct VaeNorm {
  Tensor weight, bias;
};

struct VaeResnet {
  VaeNorm norm1, norm2;
  std::shared_ptr<ConvWeight> conv1, conv2;
  std::shared_ptr<ConvWeight> shortcut;  ///< 1 x 1 where the number of channels changes, or null
};

struct VaeUpBlock {
  std::vector<VaeResnet> resnets;
  std::shared_ptr<ConvWeight> upsampler;  ///< or null
};

struct VaeWeights {
  VaeWeights(const VaeConfig& config, WeightSource& source);

  std::shared_ptr<ConvWeight> post_quant;  ///< or null
  std::shared_ptr<ConvWeight> conv_in;
  std::vector<VaeResnet> mid;  ///< two, with the attention between them
  VaeNorm attention_norm;
  Linears attention_qkv, attention_out;  ///< empty without mid attention
  std::vector<VaeUpBlock> up;
  VaeNorm norm_out;
  std::shared_ptr<ConvWeight> conv_out;
};

class VaeDecoder {
 public:
  /// Checks the checkpoint against the config and loads it. Errors of WeightLoader.
  VaeDecoder(const VaeConfig& config, WeightLoader& loader);
  static WeightPlan plan(const VaeConfig& config);

  /// Elements that decode() takes of the arena, in the stream's dtype, one after the other, without
  /// what operations take for themselves: in the middle block; in the resnets of others; and in
  /// upsampling, where a device keeps a phase of it in the arena (kernels/upsampling.h).
  struct Scratch {
    int64_t pictures;  ///< that are decoded at once
    int64_t middle, resnets, upsampling;
  };
  static Scratch scratch(const VaeConfig& config, int64_t batch, int64_t height, int64_t width);

  const VaeConfig& config() const { return config_; }

  /// pictures [batch, 2 height scale, 2 width scale, 3] in about -1..1, in the stream's dtype, from
  /// the transformer's latents [batch, height * width tokens, 4 latent channels], scale being
  /// config().scale(). Error(cancelled) between two layers.
  void decode(const Rows& latents, int64_t height, int64_t width, const Tensor& pictures,
              const CancelToken& cancel) const;

 private:
  class Canvas;
  void decode_few(const Rows& latents, int64_t height, int64_t width, const Tensor& pictures,
                  const CancelToken& cancel) const;
  void run_resnet(const VaeResnet& resnet, Canvas& canvas, const CancelToken& cancel) const;
  void run_attention(Canvas& canvas) const;
  void norm(const Tensor& x, const VaeNorm& weights, bool silu, const Tensor& out) const;

  VaeConfig config_;
  Kernels& kernels_;
  DType stream_;
  VaeWeights weights_;
};

}  // namespace fluxq
