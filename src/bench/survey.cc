#include "bench/survey.h"

#include <algorithm>

#include "base/error.h"
#include "bench/plan.h"
#include "bench/worker_process.h"
#include "fluxq/engine.h"
#include "pipeline/memory_plan.h"
#include "pipeline/open_device.h"

namespace fluxq {
namespace {

/// The f32 run must leave room for others in a host's memory; a GPU's free memory is all its own.
constexpr double kHostShare = 0.8;

NoiseFloor choose_noise_floor(const ModelFolder& model, const Plan& plan, Kernels& kernels) {
  if (model.synthetic) return NoiseFloor::none;
  if (std::find(plan.schemes.begin(), plan.schemes.end(), kExact) != plan.schemes.end())
    return NoiseFloor::f32_run;
  const Recipe recipe = Recipe::standard(find_scheme(kExact));
  const auto [width, height] = plan.sizes.front();
  const MemoryRequest picture = {.batch = 1,
                                 .width = width,
                                 .height = height,
                                 .text_tokens = plan.max_text_tokens,
                                 .steps = plan.steps};
  const double share = kernels.device() == Device::cpu ? kHostShare : 1;
  const auto needed =
      static_cast<double>(plan_memory(model, recipe, picture, kernels).needed_bytes());
  return needed < share * static_cast<double>(kernels.free_bytes()) ? NoiseFloor::f32_run
                                                                    : NoiseFloor::none;
}

/// What each scheme of the plan needs for its largest cell.
std::string memory_lines(const ModelFolder& model, const Plan& plan, Kernels& kernels) {
  constexpr double kGigabyte = 1e9;
  const auto [width, height] =
      *std::ranges::max_element(plan.sizes, {}, [](auto size) { return size.first * size.second; });
  const MemoryRequest largest = {.batch = plan.batches.back(),
                                 .width = width,
                                 .height = height,
                                 .text_tokens = plan.max_text_tokens,
                                 .steps = plan.steps};
  const int64_t available = kernels.free_bytes();
  const auto in_gigabytes = [](int64_t bytes) { return static_cast<double>(bytes) / kGigabyte; };
  std::string text = fmt::format("memory for {} x {}, batch {}, of {:.2f} GB that are free:", width,
                                 height, largest.batch, in_gigabytes(available));
  for (const std::string& name : plan.schemes) {
    const Recipe recipe = recipe_of(plan, find_scheme(name));
    text += fmt::format("\n  {:<16} {:6.2f} GB; the largest batch that fits: {}", name,
                        in_gigabytes(plan_memory(model, recipe, largest, kernels).needed_bytes()),
                        largest_batch(model, recipe, largest, kernels, available));
  }
  return text;
}

}  // namespace

Survey survey_machine(const SurveyOrder& order, Progress& progress) {
  const std::unique_ptr<Kernels> kernels = open_device(order.device, order.threads);
  const ModelFolder model = read_model_folder(find_model(order.plan.model), progress);
  // Before the ceilings take scratch memory.
  Survey survey = {.memory = memory_lines(model, order.plan, *kernels),
                   .noise_floor = choose_noise_floor(model, order.plan, *kernels)};
  progress.begin("measure the machine", 0);
  if (order.ceilings) survey.ceilings = measure_ceilings(*kernels);
  return survey;
}

Survey ask_for_survey(const std::vector<std::string>& worker_command, const SurveyOrder& order,
                      Progress& progress, const CancelToken& cancel) {
  WorkerProcess worker(
      worker_command, [&](std::string_view text) { progress.warn(text); }, cancel);
  try {
    return worker
        .ask({.kind = Order::Kind::survey, .survey = order}, Answer::Kind::survey, kSilenceSeconds)
        .survey;
  } catch (const WorkerFailure& failure) {
    for (const ErrorInfo& info : error_table())
      if (info.name == failure.code) throw Error(info.code, failure.sentence);
    fail(ErrorCode::internal, "looking at the machine: {}", failure.sentence);
  }
}

}  // namespace fluxq
