#include "pipeline/memory_table.h"

namespace fluxq {
namespace {

constexpr double kGigabyte = 1e9;

double gigabytes(int64_t bytes) { return static_cast<double>(bytes) / kGigabyte; }

std::string list(const std::vector<MemoryPlan::Entry>& entries) {
  std::string text;
  for (const MemoryPlan::Entry& entry : entries)
    text +=
        fmt::format("{}{} {:.3f}", text.empty() ? "" : ", ", entry.name, gigabytes(entry.bytes));
  return text;
}

}  // namespace

std::string memory_table(const ModelFolder& model, const Recipe& recipe,
                         const MemoryRequest& request, Kernels& kernels) {
  const int64_t available = kernels.free_bytes();
  const MemoryPlan plan = plan_memory(model, recipe, request, kernels);
  std::string text = fmt::format(
      "{} in {} ({} recipe) on {}, {} x {}, batch {}, {} text tokens, {} steps{}; in GB\n\n"
      "{:<8} {:>8} {:>12} {:>8}  of these\n",
      model.name, recipe.main().info().name, recipe.name(), device_name(kernels.device()),
      request.width, request.height, request.batch, request.text_tokens, request.steps,
      request.residency == Residency::by_phase ? ", one phase's weights at a time" : "", "phase",
      "weights", "activations", "in all");
  const auto line = [&](std::string_view name, int64_t weights, int64_t activations, int64_t all) {
    text += fmt::format("{:<8} {:>8.3f} {:>12.3f} {:>8.3f}  ", name, gigabytes(weights),
                        gigabytes(activations), gigabytes(all));
  };
  for (const Phase phase : kPhases) {
    const MemoryPlan::PhasePlan& planned = plan.of(phase);
    line(phase_name(phase), planned.weight_bytes(), planned.activation_bytes(),
         plan.needed_bytes(phase));
    text += fmt::format("{}; {}", list(planned.weights), list(planned.activations));
    if (planned.loading_bytes > 0)
      text += "; or to load: " + list({{"the block of activations", plan.block_bytes},
                                       {"a layer", planned.loading_bytes}});
    text += '\n';
  }
  text += fmt::format("beside: {}\n", list(plan.beside));
  line("needed", plan.weight_bytes(), plan.activation_bytes(), plan.needed_bytes());
  text +=
      fmt::format("of {:.3f} that are free: {}; the largest batch that fits: {}\n",
                  gigabytes(available), plan.needed_bytes() <= available ? "fits" : "does not fit",
                  largest_batch(model, recipe, request, kernels, available));
  text += fmt::format("\n{:<16} {:>8}  largest batch\n", "scheme", "needs");
  for (const SchemeFit& fit : scheme_fits(model, request, kernels, available))
    text += fmt::format("{:<16} {:>8.3f}  {}\n", fit.scheme->info().name,
                        gigabytes(fit.needed_bytes), fit.largest_batch);
  return text;
}

}  // namespace fluxq
