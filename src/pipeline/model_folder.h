/// A diffusers folder as a whole: where it is found, what its index says, and the defaults that
/// follow from its configs. The parts themselves are read by models/.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "models/clip/config.h"
#include "models/flux/config.h"
#include "models/t5/config.h"
#include "models/vae/config.h"
#include "sampling/flow_match.h"

namespace fluxq {

/// Before the name of a synthetic model: "synthetic:flux-schnell" is synthetic/flux-schnell in the
/// folders that hold models.
inline constexpr std::string_view kSyntheticPrefix = "synthetic:";

/// What a user leaves unsaid.
struct GenerationDefaults {
  int steps = 4;
  double guidance = 0;
  int max_text_tokens = 256;
  int width = 1024, height = 1024;  ///< pixels
};

/// All configs of a model, read and checked; no weights yet.
struct ModelFolder {
  std::filesystem::path path;
  std::string name;     ///< the folder's own name; "org/name" in the Hugging Face cache;
                        ///< "synthetic:name"
  std::string variant;  ///< "schnell" (no guidance embedding) or "dev"
  /// No weight files: a formula gives the weights (models/synthetic.h; models/synthetic/README.md).
  bool synthetic = false;
  FluxConfig flux;
  T5Config t5;
  ClipConfig clip;
  VaeConfig vae;
  FlowMatchConfig scheduler;
  GenerationDefaults defaults;

  /// Pixels per token and side (a latent's pixels times the 2 x 2 packing, 16 for FLUX): sizes are
  /// multiples of it.
  int size_step() const { return static_cast<int>(2 * vae.scale()); }
};

/// The sub-folders that a pipeline needs.
std::vector<std::string_view> model_components();

/// Unknown keys are warned of. Errors: not_found, corrupt_file, unsupported (not a FluxPipeline
/// folder; another component class; a synthetic model of another generator).
ModelFolder read_model_folder(const std::filesystem::path& path, Progress& progress);

}  // namespace fluxq
