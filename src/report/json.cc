#include "report/json.h"

#include <cmath>

#include "bench/results_json.h"

namespace fluxq::report {
namespace {

template <typename T>
Json optional_json(const std::optional<T>& value) {
  if (!value) return nullptr;
  if constexpr (std::is_arithmetic_v<T>) {
    return number(static_cast<double>(*value));
  } else {
    return to_json(*value);
  }
}

Json rate_json(const std::optional<Rate>& rate) {
  if (!rate) return nullptr;
  return {{"per_second", number(rate->value)},
          {"share_of_ceiling", optional_json(rate->share)},
          {"ceiling", rate->ceiling}};
}

Json memory_json(const CellSummary& summary, Json phases, Json part_bytes) {
  Json json = {{"phases", std::move(phases)}, {"part_bytes", std::move(part_bytes)}};
  if (!summary.memory) return json;
  const MemoryUse& use = *summary.memory;
  json.update({{"measured_on", use.on_device ? "device" : "host"},
               {"peak_bytes", use.peak_bytes},
               {"serving_peak_bytes", use.serving_bytes},
               {"host_peak_bytes", use.host_peak_bytes},
               {"weight_bytes", use.weight_bytes},
               {"saved_percent", optional_json(use.saved_percent)},
               {"serving_saved_percent", optional_json(use.serving_percent)}});
  return json;
}

// What the cell has measured, its samples under "samples", and what follows from them.
Json cell_json(const CellSummary& summary) {
  const Cell& cell = *summary.cell;
  Json measured = to_json(cell);
  Json json = std::move(measured["key"]);
  measured.erase("key");
  for (const char* phase : {"text_ms", "denoise_ms", "vae_ms", "total_ms", "step_ms"}) {
    json["samples"][phase] = std::move(measured[phase]);
    measured.erase(phase);
  }
  json["memory"] =
      memory_json(summary, std::move(measured["memory"]), std::move(measured["part_bytes"]));
  measured.erase("memory");
  measured.erase("part_bytes");
  json.update(measured);
  const auto& ratio = summary.time_ratio;
  json.update({{"repeats", cell.total_ms.size()},
               {"text_ms", optional_json(summary.text)},
               {"denoise_ms", optional_json(summary.denoise)},
               {"vae_ms", optional_json(summary.vae)},
               {"total_ms", optional_json(summary.total)},
               {"step_ms", optional_json(summary.step)},
               {"per_picture_ms", optional_json(summary.per_picture_ms)},
               {"pictures_per_second", optional_json(summary.pictures_per_second)},
               {"time_ratio", optional_json(ratio)},
               {"speedup", ratio ? to_json(speedup(*ratio)) : Json()},
               {"latency_reduction_percent", ratio ? to_json(latency_reduction(*ratio)) : Json()},
               {"against_bf16", ratio ? Json(verdict_name(*ratio)) : Json()},
               {"achieved_flops", rate_json(summary.flops)},
               {"achieved_bytes", rate_json(summary.bandwidth)}});
  return json;
}

Json pictures_json(const std::vector<PictureResult>& pictures) {
  Json json = Json::array();
  for (const PictureResult& picture : pictures) json.push_back(to_json(picture));
  return json;
}

Json quality_json(const SchemeQuality& quality) {
  Json drift = Json::array();
  for (const Estimate& step : quality.drift) drift.push_back(to_json(step));
  return {{"scheme", quality.scheme},
          {"pictures", quality.pictures},
          {"flagged", quality.flagged},
          {"nan", quality.has_nan},
          {"black", quality.black},
          {"constant", quality.constant},
          {"flagged_where_bf16_is_sound", quality.newly_flagged},
          {"identical", quality.identical},
          {"psnr_db", optional_json(quality.psnr_db)},
          {"ssim", optional_json(quality.ssim)},
          {"flip", optional_json(quality.flip)},
          {"quality_loss_percent", optional_json(quality.loss_percent)},
          {"flip_above_noise_floor", optional_json(quality.above_floor)},
          {"latent_drift", drift}};
}

}  // namespace

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json to_json(const Interval& interval) { return {number(interval.lo), number(interval.hi)}; }

Json to_json(const Summary& summary) {
  return {{"count", summary.count},
          {"median", number(summary.median)},
          {"q25", number(summary.middle.lo)},
          {"q75", number(summary.middle.hi)}};
}

Json to_json(const Estimate& estimate) {
  return {{"value", number(estimate.value)},
          {"interval", optional_json(estimate.interval)},
          {"count", estimate.count}};
}

Json to_json(const Comparison& comparison) {
  return {{"pairs", comparison.pairs},
          {"effect", optional_json(comparison.effect)},
          {"interval", optional_json(comparison.interval)},
          {"verdict", std::string(fluxq::to_string(comparison.verdict))}};
}

std::string_view verdict_name(const Comparison& time_ratio) {
  switch (time_ratio.verdict) {
    case Verdict::better:
      return "faster";
    case Verdict::worse:
      return "slower";
    case Verdict::not_distinguishable:
      break;
  }
  return "not distinguishable";
}

std::string_view to_string(QualityState state) {
  switch (state) {
    case QualityState::measured:
      return "measured";
    case QualityState::not_applicable:
      return "not applicable";
    case QualityState::not_measured:
      break;
  }
  return "not measured";
}

Json results_json(const Analysis& analysis) {
  const Results& results = *analysis.results;
  Json json = {{"format", 1},
               {"environment", to_json(results.environment)},
               {"plan", to_json(results.plan)},
               {"noise_floor_kind", to_string(results.noise_floor)},
               {"pictures", pictures_json(results.pictures)},
               {"seed_change_pictures", pictures_json(results.seed_change)}};
  Json& cells = json["cells"] = Json::array();
  for (const CellSummary& cell : analysis.cells) cells.push_back(cell_json(cell));
  Json& schemes = json["quality"] = {{"state", std::string(to_string(analysis.quality_state))},
                                     {"definition",
                                      "quality loss in percent = 100 x mean FLIP "
                                      "against bf16 from the same noise"}};
  schemes["schemes"] = Json::array();
  for (const SchemeQuality& quality : analysis.quality)
    schemes["schemes"].push_back(quality_json(quality));
  schemes["noise_floor"] = analysis.noise_floor ? quality_json(*analysis.noise_floor) : Json();
  schemes["seed_change"] = analysis.seed_change ? quality_json(*analysis.seed_change) : Json();
  Json& failures = json["failures"] = Json::array();
  for (const Failure& failure : results.failures) {
    Json entry = to_json(failure.key);
    entry.update({{"attempt", failure.attempt},
                  {"code", failure.code},
                  {"sentence", failure.sentence},
                  {"time", failure.time}});
    failures.push_back(entry);
  }
  Json& changes = json["accepted_changes"] = Json::array();
  for (const AcceptedChange& change : results.accepted_changes)
    changes.push_back({{"what", change.what},
                       {"before", change.before},
                       {"after", change.after},
                       {"time", change.time}});
  return json;
}

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace fluxq::report
