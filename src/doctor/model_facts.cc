#include "doctor/model_facts.h"

#include "base/error.h"
#include "fluxq/engine.h"
#include "hub/cache_layout.h"
#include "pipeline/inspect.h"
#include "pipeline/memory_plan.h"
#include "pipeline/model_weights.h"

namespace fluxq {
namespace {

void compute_needs(ModelFacts& facts, const ModelFolder& model) {
  for (const auto& [part, plan] : weight_plans(model))
    facts.download_bytes += static_cast<uint64_t>(plan.parameters() * dtype_bytes(DType::bf16));
  // Both as planned for the CPU, which every machine has: a GPU's activations take about as much.
  const std::unique_ptr<Kernels> kernels = make_cpu_kernels(1);
  const MemoryRequest always = {.width = model.defaults.width,
                                .height = model.defaults.height,
                                .text_tokens = model.defaults.max_text_tokens,
                                .steps = model.defaults.steps};
  MemoryRequest by_phase = always;
  by_phase.residency = Residency::by_phase;
  for (const Scheme* scheme : all_schemes()) {
    const Recipe recipe = Recipe::standard(*scheme);
    const auto need = [&](WeightForm form) {
      return SchemeNeed::Memory{
          .bytes = plan_memory(model, recipe, always, *kernels, form).needed_bytes(),
          .low_bytes = plan_memory(model, recipe, by_phase, *kernels, form).needed_bytes()};
    };
    facts.needs.push_back({.scheme = scheme->info().name,
                           .cpu = need(WeightForm::loaded),
                           .gpu = need(WeightForm::packed),
                           .host_only = scheme->stream() == DType::f32});
  }
}

}  // namespace

ModelFacts read_model_facts(const std::string& name) {
  ModelFacts facts;
  facts.name = name;
  Progress silent;
  ModelFolder model;  // FLUX.1, if nothing better is known
  try {
    const std::filesystem::path path = find_model(name);
    facts.path = path.string();
    model = read_model_folder(path, silent);
    inspect_model(path, silent);
  } catch (const Error& error) {
    if (facts.path.empty() && !parse_hub_name(name)) throw;
    if (!facts.path.empty()) facts.trouble = error.what();
  }
  compute_needs(facts, model);
  return facts;
}

}  // namespace fluxq
