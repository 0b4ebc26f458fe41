/// How much memory a generation will need, computed from the configs alone, before any weight is
/// read: a model that does not fit is refused with the figures instead of failing half-way.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/model_folder.h"
#include "quant/recipe.h"

namespace fluxq {

/// A generation's phases, one after the other.
enum class Phase : uint8_t { text, condition, denoise, decode };
inline constexpr std::array kPhases = {Phase::text, Phase::condition, Phase::denoise,
                                       Phase::decode};
std::string_view phase_name(Phase phase);

/// When weights are on the device: all of them always, or those of a phase while it lasts.
enum class Residency : uint8_t { always, by_phase };

/// Which bytes of weights a plan counts.
enum class WeightForm : uint8_t {
  loaded,  ///< as the schemes' kernels keep them on the device
  packed,  ///< as schemes store them, and as GPUs keep them: for a GPU that is not at hand
};

/// What decides about memory besides model and recipe.
struct MemoryRequest {
  int64_t batch = 1;
  int64_t width = 0, height = 0;  ///< pixels
  int64_t text_tokens = 0;
  int64_t steps = 1;
  Residency residency = Residency::always;
};

/// All in bytes. Activations lie in one block, which stays: of all phases or, under
/// Residency::by_phase, of all but decoding, whose own come beside it once the transformer has
/// gone.
struct MemoryPlan {
  struct Entry {
    std::string name;  ///< "transformer weights", "latents and conditioning"
    int64_t bytes = 0;
  };
  struct PhasePlan {
    std::vector<Entry> weights, activations;
    int64_t loading_bytes = 0;  ///< of the largest layer, beside the block; 0 if all stays loaded
    int64_t weight_bytes() const;
    int64_t activation_bytes() const;
  };
  std::array<PhasePlan, kPhases.size()> phases;  ///< in the order of kPhases
  std::vector<Entry> beside;                     ///< outside of the block, in all phases
  int64_t block_bytes = 0;

  int64_t weight_bytes() const;      ///< the most of any phase
  int64_t activation_bytes() const;  ///< the most of any phase
  int64_t needed_bytes() const;      ///< the most of any phase, and what is beside
  /// Without what is beside: a phase's weights with its activations, or with what loading takes.
  int64_t needed_bytes(Phase phase) const;
  const PhasePlan& of(Phase phase) const { return phases[static_cast<size_t>(phase)]; }
};

/// `kernels`: of the device that will run it. Error(unsupported) of Scheme::on().
MemoryPlan plan_memory(const ModelFolder& model, const Recipe& recipe, const MemoryRequest& request,
                       Kernels& kernels, WeightForm form = WeightForm::loaded);

/// The largest batch of otherwise the same request whose plan needs at most `available_bytes`; 0 if
/// there is none.
int64_t largest_batch(const ModelFolder& model, const Recipe& recipe, MemoryRequest request,
                      Kernels& kernels, int64_t available_bytes);

/// What one scheme would need for a request, under the default recipe.
struct SchemeFit {
  const Scheme* scheme;
  int64_t needed_bytes = 0;
  int64_t largest_batch = 0;  ///< that fits
};
/// Of all schemes that the device runs.
std::vector<SchemeFit> scheme_fits(const ModelFolder& model, const MemoryRequest& request,
                                   Kernels& kernels, int64_t available_bytes);

/// What else could be asked for, and what it would need.
struct MemoryOption {
  std::string option;  ///< "--scheme int8dq", "--low-memory", "--batch 2"
  int64_t needed_bytes = 0;
  bool fits = false;
};
/// Each other scheme of the same stream that the device runs; then Residency::by_phase; then the
/// largest batch, if that is a smaller one; if none of these fits, the schemes by phase.
std::vector<MemoryOption> memory_options(const ModelFolder& model, const Recipe& recipe,
                                         const MemoryRequest& request, Kernels& kernels,
                                         int64_t available_bytes);

/// Error(out_of_memory_device, or _host on the CPU) with the plan's figures and the options that
/// fit, unless the plan needs at most `available_bytes`.
void check_fits(const MemoryPlan& plan, const ModelFolder& model, const Recipe& recipe,
                const MemoryRequest& request, Kernels& kernels, int64_t available_bytes);

}  // namespace fluxq
