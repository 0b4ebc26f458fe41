/// A model's parts on the device: all of them for good, or those of a phase while it lasts.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/clip/text_encoder.h"
#include "models/flux/transformer.h"
#include "models/t5/encoder.h"
#include "models/vae/decoder.h"
#include "pipeline/memory_plan.h"

namespace fluxq {

class ModelParts {
 public:
  /// Loads all parts, or none yet under Residency::by_phase. Everything given outlives this.
  /// Errors: those of opening and loading.
  ModelParts(const ModelFolder& model, const Recipe& recipe, Kernels& kernels, Residency residency,
             Progress& progress, const CancelToken& cancel);

  /// Loads what `phase` works with, if it is not there; under Residency::by_phase all else goes
  /// first. True if something was loaded.
  bool enter(Phase phase, Progress& progress, const CancelToken& cancel);
  /// A run is over, or was left in any phase: under Residency::by_phase all parts go.
  void leave();

  const ClipTextEncoder& clip() const { return *clip_.made; }
  T5Encoder& t5() const { return *t5_.made; }
  /// For condition() and for velocity(): under Residency::by_phase each in its phase.
  const FluxTransformer& conditioner() const {
    return conditioner_.made ? *conditioner_.made : *flux_.made;
  }
  const FluxTransformer& flux() const { return *flux_.made; }
  const VaeDecoder& vae() const { return *vae_.made; }

  /// On the device now.
  int64_t loaded_bytes() const;
  /// What each linear layer runs as, and the resident bytes of each part: of those loaded so far.
  const std::vector<LayerCoverage>& coverage() const { return coverage_; }
  const std::map<std::string, int64_t>& part_bytes() const { return part_bytes_; }
  /// What packing the weights took while they were loaded, each part's first time.
  double quantize_ms() const { return quantize_ms_; }

 private:
  template <typename Part>
  struct Loaded {
    std::unique_ptr<Part> made;
    int64_t bytes = 0;  ///< of it, from the first time that it was made
  };
  /// `name` of a part, `more` for its constructor.
  template <typename Part, typename Config, typename... More>
  bool load(Loaded<Part>& part, const std::string& name, const Config& config, Progress& progress,
            const CancelToken& cancel, More... more);
  void keep_only(std::optional<Phase> phase);

  const ModelFolder& model_;
  const Recipe& recipe_;
  Kernels& kernels_;
  Residency residency_;
  DeviceSchemes schemes_;
  Loaded<ClipTextEncoder> clip_;
  Loaded<T5Encoder> t5_;
  Loaded<FluxTransformer> conditioner_, flux_;  // the first under by_phase only
  Loaded<VaeDecoder> vae_;
  std::vector<LayerCoverage> coverage_;
  std::map<std::string, int64_t> part_bytes_;
  double quantize_ms_ = 0;
};

}  // namespace fluxq
