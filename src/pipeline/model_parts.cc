#include "pipeline/model_parts.h"

#include "pipeline/model_weights.h"

namespace fluxq {

ModelParts::ModelParts(const ModelFolder& model, const Recipe& recipe, Kernels& kernels,
                       Residency residency, Progress& progress, const CancelToken& cancel)
    : model_(model), recipe_(recipe), kernels_(kernels), residency_(residency), schemes_(kernels) {
  if (residency_ == Residency::by_phase) return;
  for (const Phase phase : kPhases) enter(phase, progress, cancel);
}

template <typename Part, typename Config, typename... More>
bool ModelParts::load(Loaded<Part>& part, const std::string& name, const Config& config,
                      Progress& progress, const CancelToken& cancel, More... more) {
  if (part.made) return false;
  const std::unique_ptr<TensorSource> tensors = open_tensors(model_, name);
  WeightLoader loader(*tensors, name, recipe_, schemes_, progress, cancel);
  part.made = std::make_unique<Part>(config, loader, more...);
  if (part.bytes > 0) return true;
  part.bytes = loader.resident_bytes();
  if (!part_bytes_.contains(name))  // or its files have been read for its other half
    for (const std::string& warning : tensors->warnings()) progress.warn(warning);
  part_bytes_[name] += part.bytes;
  coverage_.insert(coverage_.end(), loader.coverage().begin(), loader.coverage().end());
  quantize_ms_ += loader.pack_ms();
  return true;
}

bool ModelParts::enter(Phase phase, Progress& progress, const CancelToken& cancel) {
  using Use = FluxTransformer::Use;
  const bool by_phase = residency_ == Residency::by_phase;
  if (by_phase) keep_only(phase);
  switch (phase) {
    case Phase::text: {
      const bool clip = load(clip_, "text_encoder", model_.clip, progress, cancel);
      return load(t5_, "text_encoder_2", model_.t5, progress, cancel) || clip;
    }
    case Phase::condition:
      if (by_phase)
        return load(conditioner_, "transformer", model_.flux, progress, cancel, Use::condition);
      [[fallthrough]];
    case Phase::denoise:
      return load(flux_, "transformer", model_.flux, progress, cancel,
                  by_phase ? Use::velocity : Use::all);
    case Phase::decode:
      return load(vae_, "vae", model_.vae, progress, cancel);
  }
  return false;
}

void ModelParts::leave() {
  if (residency_ == Residency::by_phase) keep_only({});
}

int64_t ModelParts::loaded_bytes() const {
  int64_t bytes = 0;
  const auto add = [&](const auto& part) {
    if (part.made) bytes += part.bytes;
  };
  add(clip_);
  add(t5_);
  add(conditioner_);
  add(flux_);
  add(vae_);
  return bytes;
}

void ModelParts::keep_only(std::optional<Phase> phase) {
  if (phase != Phase::text) {
    clip_.made.reset();
    t5_.made.reset();
  }
  if (phase != Phase::condition) conditioner_.made.reset();
  if (phase != Phase::denoise) flux_.made.reset();
  if (phase != Phase::decode) vae_.made.reset();
}

}  // namespace fluxq
