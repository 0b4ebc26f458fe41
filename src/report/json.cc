#include "report/json.h"

#include <cmath>

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

Json numbers(const std::vector<double>& values) {
  Json json = Json::array();
  for (const double value : values) json.push_back(number(value));
  return json;
}

std::string_view to_string(CellStatus status) {
  switch (status) {
    case CellStatus::pending:
      return "pending";
    case CellStatus::running:
      return "running";
    case CellStatus::done:
      return "done";
    case CellStatus::failed:
      break;
  }
  return "failed";
}

std::string_view to_string(NoiseFloor floor) {
  switch (floor) {
    case NoiseFloor::f32_run:
      return "f32_run";
    case NoiseFloor::second_kernels:
      return "second_kernels";
    case NoiseFloor::none:
      break;
  }
  return "none";
}

Json count(const std::optional<int64_t>& value) { return value ? Json(*value) : Json(); }

Json key_json(const CellKey& key) {
  return {
      {"scheme", key.scheme}, {"batch", key.batch}, {"width", key.width}, {"height", key.height}};
}

Json state_json(const DeviceState& state) {
  return {{"clock_mhz", optional_json(state.clock_mhz)},
          {"memory_clock_mhz", optional_json(state.memory_clock_mhz)},
          {"temperature_c", optional_json(state.temperature_c)},
          {"power_w", optional_json(state.power_w)},
          {"other_processes", state.other_processes ? Json(*state.other_processes) : Json()},
          {"load_average", optional_json(state.load_average)}};
}

Json rate_json(const std::optional<Rate>& rate) {
  if (!rate) return nullptr;
  return {{"per_second", number(rate->value)},
          {"share_of_ceiling", optional_json(rate->share)},
          {"ceiling", rate->ceiling}};
}

Json memory_json(const CellSummary& summary) {
  Json json = {{"phases", Json::array()}, {"part_bytes", summary.cell->part_bytes}};
  for (const PhaseMemory& phase : summary.cell->memory)
    json["phases"].push_back({{"phase", phase.phase},
                              {"host_peak_bytes", phase.host_peak_bytes},
                              {"device_peak_bytes", count(phase.device_peak_bytes)}});
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

Json cell_json(const CellSummary& summary) {
  const Cell& cell = *summary.cell;
  Json json = key_json(cell.key);
  json.update(
      {{"status", std::string(to_string(cell.status))},
       {"failure_code", cell.failure_code},
       {"failure", cell.failure},
       {"attempts", cell.attempts},
       {"warmups", cell.warmups},
       {"repeats", cell.total_ms.size()},
       {"load_ms", number(cell.load_ms)},
       {"quantize_ms", number(cell.quantize_ms)},
       {"cold_ms", number(cell.cold_ms)},
       {"samples",
        {{"text_ms", numbers(cell.text_ms)},
         {"denoise_ms", numbers(cell.denoise_ms)},
         {"vae_ms", numbers(cell.vae_ms)},
         {"total_ms", numbers(cell.total_ms)},
         {"step_ms", numbers(cell.step_ms)}}},
       {"text_ms", optional_json(summary.text)},
       {"denoise_ms", optional_json(summary.denoise)},
       {"vae_ms", optional_json(summary.vae)},
       {"total_ms", optional_json(summary.total)},
       {"step_ms", optional_json(summary.step)},
       {"per_picture_ms", optional_json(summary.per_picture_ms)},
       {"pictures_per_second", optional_json(summary.pictures_per_second)},
       {"time_ratio", optional_json(summary.time_ratio)},
       {"speedup", summary.time_ratio ? to_json(speedup(*summary.time_ratio)) : Json()},
       {"latency_reduction_percent",
        summary.time_ratio ? to_json(latency_reduction(*summary.time_ratio)) : Json()},
       {"against_bf16", summary.time_ratio ? Json(verdict_name(*summary.time_ratio)) : Json()},
       {"flops", number(cell.flops)},
       {"weight_bytes_read", number(cell.weight_bytes_read)},
       {"achieved_flops", rate_json(summary.flops)},
       {"achieved_bytes", rate_json(summary.bandwidth)},
       {"memory", memory_json(summary)},
       {"before", state_json(cell.before)},
       {"after", state_json(cell.after)},
       {"notes", cell.notes}});
  return json;
}

Json picture_json(const PictureResult& picture) {
  Json psnr;
  if (picture.psnr_db)
    psnr = std::isinf(*picture.psnr_db) && *picture.psnr_db > 0 ? Json("identical")
                                                                : number(*picture.psnr_db);
  return {{"scheme", picture.scheme},
          {"prompt", picture.prompt},
          {"seed", picture.seed},
          {"width", picture.width},
          {"height", picture.height},
          {"file", picture.file},
          {"sha256", picture.sha256},
          {"has_nan", picture.has_nan},
          {"black", picture.black},
          {"constant", picture.constant},
          {"psnr_db", psnr},
          {"ssim", optional_json(picture.ssim)},
          {"flip", optional_json(picture.flip)},
          {"latent_drift", numbers(picture.latent_drift)}};
}

Json pictures_json(const std::vector<PictureResult>& pictures) {
  Json json = Json::array();
  for (const PictureResult& picture : pictures) json.push_back(picture_json(picture));
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

Json environment_json(const Environment& environment) {
  Json ceilings = Json::object();
  for (const auto& [kind, rate] : environment.ceiling_flops) ceilings[kind] = number(rate);
  return {{"fluxq_version", environment.fluxq_version},
          {"binary_sha256", environment.binary_sha256},
          {"build", environment.build},
          {"model", environment.model_name},
          {"weights_sha256", environment.weights_sha256},
          {"variant", environment.variant},
          {"synthetic", environment.synthetic},
          {"device", environment.device},
          {"device_name", environment.device_name},
          {"driver", environment.driver},
          {"cuda", environment.cuda},
          {"kernel", environment.kernel},
          {"os", environment.os},
          {"isa", environment.isa},
          {"threads", environment.threads},
          {"host_memory_bytes", environment.host_memory_bytes},
          {"device_memory_bytes", count(environment.device_memory_bytes)},
          {"ceiling_flops", ceilings},
          {"ceiling_bytes", number(environment.ceiling_bytes)},
          {"started", environment.started}};
}

Json plan_json(const Plan& plan) {
  Json sizes = Json::array();
  for (const auto& [width, height] : plan.sizes) sizes.push_back({width, height});
  return {{"schemes", plan.schemes},
          {"batches", plan.batches},
          {"sizes", sizes},
          {"steps", plan.steps},
          {"guidance", number(plan.guidance)},
          {"max_text_tokens", plan.max_text_tokens},
          {"prompts", plan.prompts},
          {"seeds", plan.seeds},
          {"warmups", plan.warmups},
          {"repeats", plan.repeats}};
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
               {"environment", environment_json(results.environment)},
               {"plan", plan_json(results.plan)},
               {"noise_floor_kind", std::string(to_string(results.noise_floor))},
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
    Json entry = key_json(failure.key);
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
