#include "bench/run_cost.h"

#include <algorithm>

namespace fluxq {

double RunCost::flops() const {
  return text.flops() + condition.flops() + steps * step.flops() + decode.flops();
}

double RunCost::longest_piece_flops() const {
  return std::max({text.flops(), condition.flops() + step.flops(), decode.flops()});
}

RunCost run_cost(const ModelFolder& model, const Plan& plan, const CellKey& key) {
  const int64_t height = key.height / model.size_step(), width = key.width / model.size_step();
  const int64_t text_tokens = plan.max_text_tokens;
  RunCost cost;
  cost.text = t5_cost(model.t5, 1, text_tokens);
  cost.text += clip_cost(model.clip, 1, model.clip.positions);
  cost.condition = flux_condition_cost(model.flux, key.batch, text_tokens, plan.steps);
  cost.step = flux_step_cost(model.flux, key.batch, text_tokens, height * width);
  cost.decode = vae_cost(model.vae, key.batch, height, width);
  cost.steps = plan.steps;
  return cost;
}

double weight_bytes_read(const TextToImage& pipeline, const RunCost& cost) {
  const std::string& baseline = pipeline.recipe().baseline().info().name;
  double baseline_bytes = 0, baseline_weights = 0;
  for (const LayerCoverage& layer : pipeline.coverage()) {
    if (layer.scheme != baseline) continue;
    baseline_bytes += static_cast<double>(layer.resident_bytes);
    baseline_weights += static_cast<double>(layer.out) * static_cast<double>(layer.in);
  }
  double bytes = 0, transformer = 0;
  for (const auto& [part, resident] : pipeline.part_bytes())
    (part == "transformer" ? transformer : bytes) += static_cast<double>(resident);
  const double modulation =
      baseline_weights > 0 ? cost.condition.weight_elements * baseline_bytes / baseline_weights : 0;
  return bytes + modulation + cost.steps * std::max(0.0, transformer - modulation);
}

}  // namespace fluxq
