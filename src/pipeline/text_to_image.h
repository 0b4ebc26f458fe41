/// From a prompt to pictures: the walk of DESIGN.md, "nine rooms, in order". Knows no files of its
/// own but the model's, no scheme and no device by name.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fluxq/cancel.h"
#include "fluxq/image.h"
#include "fluxq/progress.h"
#include "pipeline/model_parts.h"
#include "pipeline/request.h"
#include "tokenizers/tokenizer.h"

namespace fluxq {

/// Watches the stages of a run (`generate --dump`, latent drift). Tensors are f32 on the host,
/// named as DESIGN.md says: noise [B, 16, H/8, W/8], prompt_embeds [B, T, d], pooled_prompt_embeds
/// [B, d], sigmas [steps + 1], velocity.I and latents.I [B, tokens, 64], image [B, 3, H, W] in
/// 0..1.
class StageObserver {
 public:
  virtual ~StageObserver() = default;
  virtual void stage(std::string_view name, const Tensor& values) = 0;
};

/// Wall-clock times of one run, all work of a stage done before its time is taken.
struct StageTimes {
  double text_ms = 0;           ///< tokenizing, both encoders, drawing the noise
  double condition_ms = 0;      ///< modulation of all steps
  std::vector<double> step_ms;  ///< each denoising step
  double vae_ms = 0;            ///< decoding to pixels
  double total_ms = 0;          ///< prompt to pixels in memory
};

struct Run {
  std::vector<Image> images;  ///< one per seed
  StageTimes times;
};

class TextToImage {
 public:
  /// Reads and quantizes all parts, or, under Residency::by_phase, none before they are needed.
  /// `kernels` must outlive this. Errors: those of the readers; out_of_memory_* when the weights
  /// will not fit, before any is read.
  TextToImage(ModelFolder model, const Recipe& recipe, Kernels& kernels, Progress& progress,
              const CancelToken& cancel, Residency residency = Residency::always,
              AttentionPrecision attention = AttentionPrecision::bf16);

  const ModelFolder& model() const { return model_; }
  const Recipe& recipe() const { return recipe_; }
  /// Of the parts loaded so far: what each linear layer runs as, and the resident bytes of each.
  const std::vector<LayerCoverage>& coverage() const { return parts_->coverage(); }
  const std::map<std::string, int64_t>& part_bytes() const { return parts_->part_bytes(); }
  /// What packing the weights took while they were loaded.
  double quantize_ms() const { return parts_->quantize_ms(); }

  /// Draws one picture per seed. Errors: bad_argument for what cannot be drawn, out_of_memory_*
  /// when it will not fit, numeric when a stage gives NaN or infinity, cancelled.
  Run run(const Request& request, Progress& progress, const CancelToken& cancel,
          StageObserver* observer = nullptr);

 private:
  struct Text {
    Tensor prompt_embeds;  // [1, text tokens, d]
    Tensor pooled;         // [1, 1, d]
  };
  void reserve(const MemoryRequest& request);
  Text encode(const Request& request, Progress& progress, const CancelToken& cancel);
  Tensor draw_latents(const Request& request, StageObserver* observer);
  std::vector<Image> decode(const Request& request, const Rows& latents, const CancelToken& cancel,
                            StageObserver* observer);
  void check_finite(const Rows& values, std::string_view what) const;
  void forget_other_recordings(const Request& request);

  ModelFolder model_;
  Recipe recipe_;
  Kernels& kernels_;
  Residency residency_;
  AttentionPrecision attention_;
  std::unique_ptr<Tokenizer> clip_tokenizer_, t5_tokenizer_;
  std::unique_ptr<ModelParts> parts_;
  std::vector<int64_t> recorded_shape_;
  std::vector<std::shared_ptr<Recording>> recorded_steps_;  // one per step
};

}  // namespace fluxq
