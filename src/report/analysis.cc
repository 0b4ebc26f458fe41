#include "report/analysis.h"

#include <algorithm>
#include <cmath>

#include "report/quality.h"

namespace fluxq::report {
namespace {

std::optional<Summary> summarize(const std::vector<double>& samples) {
  const std::vector<double> values = sound(samples);
  if (values.empty()) return std::nullopt;
  return Summary{static_cast<int64_t>(values.size()), median(values), interquartile_range(values)};
}

// The ceiling of the scheme's arithmetic, or of what a device without it computes in instead.
Rate flops_rate(double value, const Cell& cell, const Environment& environment) {
  Rate rate{value, {}, {}};
  const std::string_view own = arithmetic_of(cell.key.scheme);
  const std::string_view dense = own == "s8 2:4" ? "s8" : own;
  for (const std::string_view kind :
       {own, dense, std::string_view("bf16"), std::string_view("f32")}) {
    const auto ceiling = environment.ceiling_flops.find(std::string(kind));
    if (ceiling == environment.ceiling_flops.end() || !(ceiling->second > 0)) continue;
    rate.share = value / ceiling->second;
    rate.ceiling = kind;
    break;
  }
  return rate;
}

std::optional<MemoryUse> memory_of(const Cell& cell) {
  if (cell.memory.empty()) return std::nullopt;
  MemoryUse use;
  use.on_device = std::any_of(cell.memory.begin(), cell.memory.end(),
                              [](const PhaseMemory& p) { return p.device_peak_bytes.has_value(); });
  for (const PhaseMemory& phase : cell.memory) {
    const int64_t bytes =
        use.on_device ? phase.device_peak_bytes.value_or(0) : phase.host_peak_bytes;
    use.peak_bytes = std::max(use.peak_bytes, bytes);
    use.host_peak_bytes = std::max(use.host_peak_bytes, phase.host_peak_bytes);
    if (phase.phase != "load" && phase.phase != "quantize")
      use.serving_bytes = std::max(use.serving_bytes, bytes);
  }
  for (const auto& [part, bytes] : cell.part_bytes) use.weight_bytes += bytes;
  return use;
}

CellSummary summarize(const Cell& cell, const Environment& environment) {
  CellSummary summary;
  summary.cell = &cell;
  summary.is_baseline = cell.key.scheme == kBaseline;
  if (cell.status != CellStatus::done) return summary;
  summary.total = summarize(cell.total_ms);
  summary.text = summarize(cell.text_ms);
  summary.denoise = summarize(cell.denoise_ms);
  summary.vae = summarize(cell.vae_ms);
  summary.step = summarize(cell.step_ms);
  summary.memory = memory_of(cell);
  if (!summary.total) return summary;
  const double seconds = summary.total->median / 1000;
  summary.per_picture_ms = summary.total->median / std::max(1, cell.key.batch);
  summary.pictures_per_second = 1000 / *summary.per_picture_ms;
  if (cell.flops > 0) summary.flops = flops_rate(cell.flops / seconds, cell, environment);
  if (cell.weight_bytes_read > 0) {
    summary.bandwidth = Rate{cell.weight_bytes_read / seconds, {}, {}};
    if (environment.ceiling_bytes > 0) {
      summary.bandwidth->share = summary.bandwidth->value / environment.ceiling_bytes;
      summary.bandwidth->ceiling = "memory";
    }
  }
  return summary;
}

std::optional<double> saved_percent(int64_t bytes, int64_t baseline) {
  if (baseline <= 0) return std::nullopt;
  return 100 * (1 - static_cast<double>(bytes) / static_cast<double>(baseline));
}

void relate_to_baseline(CellSummary& summary, const CellSummary* baseline) {
  if (summary.is_baseline || baseline == nullptr || baseline->cell->status != CellStatus::done)
    return;
  summary.time_ratio = compare_times(*summary.cell, *baseline->cell);
  if (summary.memory && baseline->memory &&
      summary.memory->on_device == baseline->memory->on_device) {
    summary.memory->saved_percent =
        saved_percent(summary.memory->peak_bytes, baseline->memory->peak_bytes);
    summary.memory->serving_percent =
        saved_percent(summary.memory->serving_bytes, baseline->memory->serving_bytes);
  }
}

}  // namespace

std::vector<double> sound(const std::vector<double>& samples) {
  std::vector<double> values;
  std::copy_if(samples.begin(), samples.end(), std::back_inserter(values),
               [](double value) { return std::isfinite(value) && value > 0; });
  return values;
}

std::string_view arithmetic_of(std::string_view scheme) {
  if (scheme == "f32") return "f32";
  if (scheme.starts_with("sparse24-int8")) return "s8 2:4";
  if (scheme.find("int8") != std::string_view::npos) return "s8";
  if (scheme.find("fp8") != std::string_view::npos) return "fp8";
  return "bf16";
}

std::optional<Comparison> compare_times(const Cell& candidate, const Cell& reference) {
  if (candidate.status != CellStatus::done || reference.status != CellStatus::done)
    return std::nullopt;
  std::vector<double> ours, theirs;
  const size_t pairs = std::min(candidate.total_ms.size(), reference.total_ms.size());
  for (size_t i = 0; i < pairs; ++i) {
    const double a = candidate.total_ms[i] / std::max(1, candidate.key.batch);
    const double b = reference.total_ms[i] / std::max(1, reference.key.batch);
    if (!std::isfinite(a) || !std::isfinite(b) || !(a > 0) || !(b > 0)) continue;
    ours.push_back(a);
    theirs.push_back(b);
  }
  if (ours.empty()) return std::nullopt;
  return compare_medians(ours, theirs, Goal::lower);
}

Estimate speedup(const Comparison& time_ratio) {
  Estimate result{1 / time_ratio.effect.value(), {}, time_ratio.pairs};
  if (time_ratio.interval)
    result.interval = {1 / time_ratio.interval->hi, 1 / time_ratio.interval->lo};
  return result;
}

Estimate latency_reduction(const Comparison& time_ratio) {
  Estimate result{100 * (1 - time_ratio.effect.value()), {}, time_ratio.pairs};
  if (time_ratio.interval)
    result.interval = {100 * (1 - time_ratio.interval->hi), 100 * (1 - time_ratio.interval->lo)};
  return result;
}

const CellSummary* Analysis::find(const CellKey& key) const {
  for (const CellSummary& summary : cells)
    if (summary.cell->key == key) return &summary;
  return nullptr;
}

const SchemeQuality* Analysis::find_quality(std::string_view scheme) const {
  for (const SchemeQuality& entry : quality)
    if (entry.scheme == scheme) return &entry;
  return nullptr;
}

Analysis analyse(const Results& results) {
  Analysis analysis;
  analysis.results = &results;
  for (const Cell& cell : results.cells)
    analysis.cells.push_back(summarize(cell, results.environment));
  for (CellSummary& summary : analysis.cells) {
    CellKey key = summary.cell->key;
    key.scheme = kBaseline;
    relate_to_baseline(summary, analysis.find(key));
  }
  analyse_quality(analysis);
  return analysis;
}

}  // namespace fluxq::report
