#include "report/targets.h"

#include <fmt/format.h>

#include <cmath>

#include "report/numbers.h"

namespace fluxq::report {
namespace {

// Work of one picture of FLUX.1-dev, 28 steps, 1024 x 1024, 512 text tokens (74.4 TFLOP a step and
// 15 for text and VAE); with 256 text tokens 7 % less.
constexpr double kDevFlops = 28 * 74.4e12 + 15.3e12;

std::string interval_text(const std::optional<Interval>& interval, int decimals) {
  return interval ? "95 % interval " + range(*interval, decimals) : "no interval: one run";
}

// The qualifying quantized candidate with the lowest time.
const Candidate* fastest(const Recommendation& recommendation, bool with_baseline) {
  const Candidate* best = nullptr;
  for (const Candidate& candidate : recommendation.candidates) {
    if (!candidate.qualifies || (candidate.scheme == kBaseline && !with_baseline)) continue;
    if (best == nullptr || *candidate.cell->per_picture_ms < *best->cell->per_picture_ms)
      best = &candidate;
  }
  return best;
}

Target reduction_target(const Analysis& analysis, const Recommendation& recommendation) {
  Target target;
  target.name = "Latency reduction of at least 53.88 % against bf16";
  const Environment& environment = analysis.results->environment;
  const bool applies = environment.device == "cuda";
  target.remark =
      "The plan took the figure from a compiled pipeline against uncompiled bf16 (6.431 s to "
      "2.966 s, 2.17 times as fast); here the baseline is fluxq's own bf16.";
  if (!applies)
    target.remark = "The plan sets it for an H100, this run was on a CPU. " + target.remark;
  const Candidate* best = fastest(recommendation, false);
  if (best == nullptr || !best->cell->time_ratio) {
    target.figure =
        best == nullptr ? "no quantized scheme qualifies" : "no bf16 time to compare with";
    target.status =
        applies && best == nullptr ? TargetStatus::missed : TargetStatus::not_applicable;
    return target;
  }
  const Estimate saved = latency_reduction(*best->cell->time_ratio);
  target.figure = fmt::format("{}: {} ({})", best->scheme, show_percent(saved.value, 2),
                              interval_text(saved.interval, 2));
  if (applies)
    target.status = saved.interval && saved.interval->lo >= kTargetReductionPercent
                        ? TargetStatus::met
                        : TargetStatus::missed;
  return target;
}

Target dev_target(const Analysis& analysis, const Recommendation& recommendation) {
  Target target;
  target.name = "FLUX.1-dev, 28 steps, 1024 × 1024, one picture in at most 2.966 s";
  target.remark = "The plan writes schnell and 4 steps; its source measured dev with 28.";
  const Results& results = *analysis.results;
  const Environment& environment = results.environment;
  const Candidate* best = fastest(recommendation, true);
  const double flops = best == nullptr ? 0 : best->cell->cell->flops;
  const int batch = best == nullptr ? 1 : best->cell->cell->key.batch;
  const bool is_full_size = std::abs(flops / kDevFlops - 1) < 0.15;
  const bool applies = environment.device == "cuda" && environment.variant == "dev" &&
                       results.plan.steps == 28 && recommendation.width == 1024 &&
                       recommendation.height == 1024 && batch == 1 && is_full_size;
  if (best == nullptr) {
    target.figure = "no scheme qualifies";
  } else {
    const CellSummary& cell = *best->cell;
    const auto interval = bootstrap_interval(sound(cell.cell->total_ms), Center::median);
    const Unit unit = time_unit({&cell.total->median, 1});
    target.figure =
        fmt::format("{}: {} ({})", best->scheme, unit.show(cell.total->median),
                    interval ? "95 % interval " + unit.show(*interval) : "no interval: one run");
    if (applies)
      target.status =
          interval && interval->hi <= kTargetDevMs ? TargetStatus::met : TargetStatus::missed;
  }
  if (!applies)
    target.remark =
        fmt::format("This run: {}, {} {}, {} × {}, batch {}, on {}. ", environment.model_name,
                    results.plan.steps, results.plan.steps == 1 ? "step" : "steps",
                    recommendation.width, recommendation.height, batch,
                    environment.device == "cuda" ? environment.device_name : "a CPU") +
        target.remark;
  return target;
}

Target quality_target(const Analysis& analysis) {
  Target target;
  target.name = "Quality loss below 5 %";
  target.remark =
      "The plan leaves it to the eye. Here it is 100 × mean FLIP against bf16 from the same noise, "
      "and met only if the whole interval is below 5 %.";
  if (analysis.quality_state != QualityState::measured) {
    target.figure = analysis.quality_state == QualityState::not_applicable
                        ? "synthetic weights: pictures mean nothing"
                        : "no picture was compared";
    return target;
  }
  std::string met, missed;
  for (const SchemeQuality& quality : analysis.quality) {
    if (!quality.loss_percent || quality.scheme == "f32") continue;
    const bool holds = quality.loss_percent->interval &&
                       quality.loss_percent->interval->hi < kTargetLossPercent &&
                       quality.newly_flagged == 0;
    std::string& list = holds ? met : missed;
    list += fmt::format(
        "{}{} {} ({})", list.empty() ? "" : "; ", quality.scheme,
        show_percent(quality.loss_percent->value, 2),
        quality.loss_percent->interval ? range(*quality.loss_percent->interval, 2) : "no interval");
    if (quality.newly_flagged > 0) list += fmt::format(", {} flagged", quality.newly_flagged);
  }
  target.status = met.empty() ? TargetStatus::missed : TargetStatus::met;
  target.figure = met.empty() ? "by no scheme" : "by " + met;
  if (!missed.empty()) target.figure += ". Not by " + missed;
  return target;
}

Target memory_target(const Recommendation& recommendation) {
  Target target;
  target.name = "Memory saved against bf16";
  target.remark = "The plan asks for a significant reduction and names no figure.";
  const Candidate* best = nullptr;
  for (const Candidate& candidate : recommendation.candidates)
    if (candidate.qualifies && candidate.cell->memory && candidate.cell->memory->saved_percent &&
        (best == nullptr ||
         *candidate.cell->memory->saved_percent > *best->cell->memory->saved_percent))
      best = &candidate;
  if (best == nullptr) {
    target.figure = "no scheme that qualifies can be compared with bf16";
    return target;
  }
  const MemoryUse& memory = *best->cell->memory;
  target.figure = fmt::format("{}: {} less at the peak ({}), {} less while serving", best->scheme,
                              show_percent(*memory.saved_percent),
                              show_bytes(static_cast<double>(memory.peak_bytes)),
                              show_percent(memory.serving_percent.value_or(0)));
  target.status = *memory.saved_percent >= 1 ? TargetStatus::met : TargetStatus::missed;
  return target;
}

}  // namespace

std::string_view to_string(TargetStatus status) {
  switch (status) {
    case TargetStatus::met:
      return "met";
    case TargetStatus::missed:
      return "missed";
    case TargetStatus::not_applicable:
      break;
  }
  return "not applicable";
}

std::vector<Target> targets_of(const Analysis& analysis) {
  const Recommendation recommendation = recommend(analysis, {});
  return {reduction_target(analysis, recommendation), dev_target(analysis, recommendation),
          quality_target(analysis), memory_target(recommendation)};
}

}  // namespace fluxq::report
