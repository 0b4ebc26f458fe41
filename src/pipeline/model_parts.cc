#include "pipeline/model_parts.h"

#include "pipeline/model_weights.h"

namespace fluxq {

ModelParts::ModelParts(const ModelFolder& model, const Recipe& recipe, Kernels& kernels,
                       Residency residency, Progress& progress, const CancelToken& cancel)
    : model_(model), recipe_(recipe), kernels_(kernels), residency_(residency), schemes_(kernels) {
  if (residency_ == Residency::by_phase) return;
  for (const Phase phase : kPhases) enter(phase, progress, cancel);
}

template <typename Part, typename Config>
bool ModelParts::load(std::unique_ptr<Part>& made, const std::string& name, const Config& config,
                      Progress& progress, const CancelToken& cancel) {
  if (made) return false;
  const std::unique_ptr<TensorSource> tensors = open_tensors(model_, name);
  WeightLoader loader(*tensors, name, recipe_, schemes_, progress, cancel);
  made = std::make_unique<Part>(config, loader);
  if (!part_bytes_.emplace(name, loader.resident_bytes()).second) return true;
  for (const std::string& warning : tensors->warnings()) progress.warn(warning);
  coverage_.insert(coverage_.end(), loader.coverage().begin(), loader.coverage().end());
  quantize_ms_ += loader.pack_ms();
  return true;
}

bool ModelParts::enter(Phase phase, Progress& progress, const CancelToken& cancel) {
  keep_only(phase);
  switch (phase) {
    case Phase::text: {
      const bool clip = load(clip_, "text_encoder", model_.clip, progress, cancel);
      return load(t5_, "text_encoder_2", model_.t5, progress, cancel) || clip;
    }
    case Phase::denoise:
      return load(flux_, "transformer", model_.flux, progress, cancel);
    case Phase::decode:
      return load(vae_, "vae", model_.vae, progress, cancel);
  }
  return false;
}

void ModelParts::leave() {
  if (residency_ == Residency::by_phase) vae_.reset();
}

int64_t ModelParts::loaded_bytes() const {
  int64_t bytes = 0;
  const auto add = [&](bool is_there, const char* name) {
    if (is_there) bytes += part_bytes_.at(name);
  };
  add(clip_ != nullptr, "text_encoder");
  add(t5_ != nullptr, "text_encoder_2");
  add(flux_ != nullptr, "transformer");
  add(vae_ != nullptr, "vae");
  return bytes;
}

void ModelParts::keep_only(Phase phase) {
  if (residency_ == Residency::always) return;
  if (phase != Phase::text) {
    clip_.reset();
    t5_.reset();
  }
  if (phase != Phase::denoise) flux_.reset();
  if (phase != Phase::decode) vae_.reset();
}

}  // namespace fluxq
