/// From what a user asks for to a plan with nothing left open.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/results.h"
#include "pipeline/model_folder.h"
#include "quant/recipe.h"
#include "tensor/tensor.h"

namespace fluxq {

/// What is absent comes from somewhere else: a plan file, the run that is resumed, the defaults.
struct PlanRequest {
  std::optional<std::string> model;                 ///< a folder or a name that find_model() knows
  std::optional<std::vector<std::string>> schemes;  ///< "all": those that run on the device
  std::optional<std::vector<int>> batches;
  std::optional<std::vector<std::pair<int, int>>> sizes;  ///< width, height
  std::optional<int> steps;
  std::optional<double> guidance;
  std::optional<int> max_text_tokens;
  std::optional<std::vector<std::string>> prompts;
  std::optional<std::vector<uint64_t>> seeds;
  std::optional<int> warmups, repeats;
  std::optional<std::string> recipe;     ///< a file; empty: the default recipe
  std::optional<std::string> attention;  ///< EngineOptions::attention

  /// What is absent here is taken from `other`.
  void fill_from(const PlanRequest& other);
};

/// A JSON object with the members of PlanRequest, all optional: "schemes" a list or "all"; "sizes"
/// a list of 1024, "1024x768" or [1024, 768]; "prompts" a list, or the name of a prompt file beside
/// the plan; "seeds" a list, or how many. corrupt_file for anything else, with near matches of
/// unknown members; not_found, io.
PlanRequest read_plan_file(const std::filesystem::path& file);

/// A stored plan as a request: what resuming starts from.
PlanRequest to_request(const Plan& plan);

/// A prompt per line, blank lines left out. bad_argument if there is none, or for a line that is
/// not UTF-8; errors of read_text_file.
std::vector<std::string> read_prompt_file(const std::filesystem::path& file);
/// The default: prompts/bench.txt of the shared folders.
std::filesystem::path default_prompt_file();

/// "1024" or "1024x768". bad_argument for anything else.
std::pair<int, int> parse_size(std::string_view text);
/// 0, 1, ...
std::vector<uint64_t> first_seeds(int count);

/// Fills in the model's and the device's defaults and checks everything. bf16, the baseline, is
/// added if it is missing, and comes first; batches are sorted; what is there twice counts once.
/// Errors: bad_argument (an unknown scheme with near matches, a size or batch that cannot be drawn,
/// a list without entries: a plan without cells); unsupported for a scheme that `device` cannot
/// run.
Plan resolve_plan(const PlanRequest& request, const ModelFolder& model, Device device);

/// The scheme that quality is measured against.
inline constexpr std::string_view kBaseline = "bf16";
/// The exact reference behind the noise floor.
inline constexpr std::string_view kExact = "f32";

/// The recipe of a scheme in this plan, and its file, empty for the default one: the references,
/// bf16 and f32, keep that. Errors of Recipe::load().
std::string recipe_file_of(const Plan& plan, std::string_view scheme);
Recipe recipe_of(const Plan& plan, const Scheme& scheme);
/// What the attention of a scheme computes in: of the references always in "bf16".
std::string attention_of(const Plan& plan, std::string_view scheme);

/// A seed that is not the plan's: what another seed changes is shown with it.
uint64_t other_seed(const Plan& plan);

}  // namespace fluxq
