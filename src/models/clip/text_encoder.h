/// The CLIP text encoder: transformers' CLIPTextModel, of which FLUX uses the pooled output only.
#pragma once

#include "fluxq/cancel.h"
#include "models/clip/config.h"
#include "models/weights.h"

namespace fluxq {

struct ClipNorm {
  Tensor weight, bias;
};

struct ClipBlock {
  ClipNorm attention_norm;
  Linears qkv;  ///< side by side
  Linears out;
  ClipNorm feed_forward_norm;
  Linears up, down;
};

struct ClipWeights {
  /// Names begin with `prefix`: "text_model.", or nothing in files of transformers 5.
  ClipWeights(const ClipConfig& config, WeightSource& source, const std::string& prefix);

  Tensor tokens;     ///< [vocabulary, width]
  Tensor positions;  ///< [positions, width]
  std::vector<ClipBlock> blocks;
  ClipNorm final_norm;
};

class ClipTextEncoder {
 public:
  /// Checks the checkpoint against the config and loads it. Errors of WeightLoader.
  ClipTextEncoder(const ClipConfig& config, WeightLoader& loader);
  static WeightPlan plan(const ClipConfig& config);

  const ClipConfig& config() const { return config_; }

  /// pooled [batch, 1, width] = the normed last state at the end token of each text; ids on the
  /// host, i32 [batch, tokens], tokens at most config().positions (else internal). Errors:
  /// corrupt_file for an id outside the vocabulary; cancelled between two blocks.
  void encode(const Tensor& ids, const Rows& pooled, const CancelToken& cancel) const;

 private:
  void run_block(const ClipBlock& block, const Rows& state) const;
  Producer normed(const ClipNorm& norm, const Rows& rows) const;

  ClipConfig config_;
  Kernels& kernels_;
  DType stream_;
  ClipWeights weights_;
};

/// Where the pooled state of a text is: see ClipConfig::eos. Without an end token it is the first.
int64_t clip_end_position(std::span<const int32_t> ids, int64_t eos);

}  // namespace fluxq
