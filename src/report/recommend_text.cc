#include "report/recommend_text.h"

#include <fmt/format.h>

#include "report/numbers.h"

namespace fluxq::report {
namespace {

std::string interval_text(const std::optional<Interval>& interval, int decimals) {
  if (!interval) return "no interval";
  return "95 % interval " + range(*interval, decimals);
}

std::string loss_text(const SchemeQuality& quality) {
  return fmt::format("{} ({}, {})", show_percent(quality.loss_percent->value, 2),
                     interval_text(quality.loss_percent->interval, 2),
                     count_of(quality.loss_percent->count, "picture"));
}

std::string quality_obstacle(const SchemeQuality* quality, double limit) {
  if (quality == nullptr || quality->pictures == 0) return "Its quality was not measured.";
  if (quality->newly_flagged > 0)
    return fmt::format("{} of its {} {} NaN, black or constant where bf16's is sound.",
                       quality->newly_flagged, count_of(quality->pictures, "picture"),
                       quality->newly_flagged == 1 ? "is" : "are");
  if (!quality->loss_percent) return "Its quality was not measured.";
  const std::optional<Interval>& interval = quality->loss_percent->interval;
  if (interval && interval->hi <= limit) return {};
  if (interval ? interval->lo > limit : quality->loss_percent->value > limit)
    return fmt::format("Its quality loss of {} is above the limit of {}.", loss_text(*quality),
                       show_percent(limit, 1));
  return fmt::format(
      "Its quality loss of {} is not shown to stay within the limit of {}: more pictures would "
      "tell.",
      loss_text(*quality), show_percent(limit, 1));
}

// "1.06 times the time of int8dq (95 % interval 1.04 to 1.08)"
std::string ratio_text(const Comparison& times, std::string_view reference) {
  return fmt::format("{} times the time of {} ({})", fixed(*times.effect, 3), reference,
                     interval_text(times.interval, 3));
}

std::string time_sentence(const Candidate& candidate, std::string_view chosen) {
  if (!candidate.against_chosen) return {};
  const Comparison& times = *candidate.against_chosen;
  switch (times.verdict) {
    case Verdict::better:
      return fmt::format("Faster: {}.", ratio_text(times, chosen));
    case Verdict::worse:
      return fmt::format("Slower: {}.", ratio_text(times, chosen));
    case Verdict::not_distinguishable:
      break;
  }
  return fmt::format("Its time is not distinguishable: {}.", ratio_text(times, chosen));
}

// Why a scheme of the same speed was not taken; in the order of recommend()'s tie rules.
std::string tie_sentence(const Candidate& candidate, const Candidate& chosen,
                         const Analysis& analysis) {
  if (chosen.scheme == kBaseline)
    return candidate.quality != nullptr && candidate.quality->loss_percent
               ? fmt::format("It buys no time and changes pictures by {}.",
                             loss_text(*candidate.quality))
               : "It buys no time over the unquantized baseline.";
  const Comparison closer = compare_to_scheme(analysis, candidate.scheme, chosen.scheme);
  if (closer.verdict == Verdict::worse)
    return fmt::format(
        "Its pictures are farther from bf16's, by {} points ({}).", fixed(100 * *closer.effect, 2),
        interval_text(Interval{100 * closer.interval->lo, 100 * closer.interval->hi}, 2));
  const CellSummary &ours = *candidate.cell, &theirs = *chosen.cell;
  if (ours.memory && theirs.memory && ours.memory->peak_bytes > theirs.memory->peak_bytes)
    return fmt::format("It needs more memory: {} at its peak, against {}.",
                       show_bytes(static_cast<double>(ours.memory->peak_bytes)),
                       show_bytes(static_cast<double>(theirs.memory->peak_bytes)));
  return "Neither quality nor memory tells them apart; the medians decide.";
}

std::string memory_sentence(const Candidate& candidate, const Candidate& chosen) {
  if (!candidate.cell->memory || !chosen.cell->memory) return "Its memory was not measured.";
  const auto ours = static_cast<double>(candidate.cell->memory->peak_bytes);
  const auto theirs = static_cast<double>(chosen.cell->memory->peak_bytes);
  if (ours <= theirs) return fmt::format("It needs {}, about as much.", show_bytes(ours));
  return fmt::format("It needs {} at its peak, {} more than {}.", show_bytes(ours),
                     show_percent(100 * (ours / theirs - 1)), chosen.scheme);
}

std::string joined(std::string a, const std::string& b) {
  if (!a.empty() && !b.empty()) a += ' ';
  return a + b;
}

std::string speed_text(const CellSummary& cell) {
  const double samples_ms[] = {cell.total->median};
  const Unit unit = time_unit(samples_ms);
  const int batch = cell.cell->key.batch;
  std::string text =
      fmt::format("It draws {} of {} × {} pixels in {} (median of {}; middle half {})",
                  batch == 1 ? "a picture" : fmt::format("{} pictures", batch),
                  cell.cell->key.width, cell.cell->key.height, unit.show(cell.total->median),
                  count_of(cell.total->count, "run"), unit.show(cell.total->middle));
  if (batch > 1) text += fmt::format(", {} each", show_time(*cell.per_picture_ms));
  if (!cell.time_ratio)
    return text + (cell.is_baseline ? ". " : "; there is no bf16 time to compare with. ");
  const Estimate factor = speedup(*cell.time_ratio), saved = latency_reduction(*cell.time_ratio);
  switch (cell.time_ratio->verdict) {
    case Verdict::better:
      return text + fmt::format(", {} times as fast as bf16 ({}): a latency reduction of {} ({}). ",
                                fixed(factor.value, 2), interval_text(factor.interval, 2),
                                show_percent(saved.value), interval_text(saved.interval, 1));
    case Verdict::worse:
      return text + fmt::format(", slower than bf16 ({}). ", ratio_text(*cell.time_ratio, "bf16"));
    case Verdict::not_distinguishable:
      break;
  }
  return text +
         fmt::format(", not distinguishable from bf16: {}. ", ratio_text(*cell.time_ratio, "bf16"));
}

std::string quality_text(const Recommendation& recommendation, const Analysis& analysis) {
  if (analysis.quality_state == QualityState::not_applicable)
    return "Quality is not applicable: the weights are synthetic. ";
  if (*recommendation.scheme == kBaseline)
    return "Its pictures are the reference, so its quality loss is 0 by definition. ";
  std::string text;
  const SchemeQuality* quality = analysis.find_quality(*recommendation.scheme);
  if (quality != nullptr && quality->loss_percent)
    text = fmt::format("Its quality loss is {}, within the limit of {}. ", loss_text(*quality),
                       show_percent(recommendation.constraints.max_quality_loss, 1));
  if (analysis.noise_floor && analysis.noise_floor->loss_percent)
    text += fmt::format("For scale: bf16 itself costs {}",
                        show_percent(analysis.noise_floor->loss_percent->value, 2));
  if (analysis.seed_change && analysis.seed_change->loss_percent)
    text += fmt::format("{} another seed changes {}", analysis.noise_floor ? "," : "For scale:",
                        show_percent(analysis.seed_change->loss_percent->value, 2));
  if (analysis.noise_floor || analysis.seed_change) text += ". ";
  return text;
}

std::string memory_text(const CellSummary& cell) {
  if (!cell.memory) return "Its memory was not measured. ";
  const MemoryUse& memory = *cell.memory;
  std::string text = fmt::format("It needs {} of {} memory at its peak",
                                 show_bytes(static_cast<double>(memory.peak_bytes)),
                                 memory.on_device ? "device" : "host");
  if (memory.saved_percent)
    text += fmt::format(", {} {} than bf16", show_percent(std::abs(*memory.saved_percent)),
                        *memory.saved_percent >= 0 ? "less" : "more");
  return text + ". ";
}

std::string reason_text(const Recommendation& recommendation) {
  switch (recommendation.constraints.objective) {
    case Objective::latency:
      return "No scheme that qualifies is shown to be faster.";
    case Objective::throughput:
      return "No scheme that qualifies is shown to draw more pictures per second.";
    case Objective::memory:
      break;
  }
  return "No scheme that qualifies needs less memory.";
}

}  // namespace

std::string obstacle_of(const CellSummary* cell, const SchemeQuality* quality,
                        const Analysis& analysis, const Constraints& constraints) {
  if (cell == nullptr) return "It is not in this run at that batch and size.";
  if (cell->cell->status == CellStatus::failed)
    return fmt::format("Its run failed ({}): {}", cell->cell->failure_code, cell->cell->failure);
  if (cell->cell->status != CellStatus::done) return "It is not measured yet.";
  if (!cell->total) return "It has no time samples.";
  std::string obstacle;
  if (constraints.max_memory_bytes) {
    const auto limit = static_cast<double>(*constraints.max_memory_bytes);
    if (!cell->memory)
      obstacle = "Its memory was not measured, so the memory limit is not shown to hold.";
    else if (cell->memory->peak_bytes > *constraints.max_memory_bytes)
      obstacle =
          fmt::format("It needs {} at its peak, above the limit of {}.",
                      show_bytes(static_cast<double>(cell->memory->peak_bytes)), show_bytes(limit));
  }
  if (cell->is_baseline || analysis.quality_state == QualityState::not_applicable) return obstacle;
  return joined(obstacle, quality_obstacle(quality, constraints.max_quality_loss));
}

std::string why_not(const Candidate& candidate, const Candidate& chosen, const Analysis& analysis,
                    const Constraints& constraints) {
  const std::string time = time_sentence(candidate, chosen.scheme);
  if (!candidate.qualifies) return joined(candidate.why_not, time);
  if (constraints.objective == Objective::memory)
    return joined(memory_sentence(candidate, chosen), time);
  if (candidate.against_chosen && candidate.against_chosen->verdict == Verdict::worse) return time;
  return joined(time, tie_sentence(candidate, chosen, analysis));
}

std::string paragraph_of(const Recommendation& recommendation, const Analysis& analysis) {
  const Constraints& constraints = recommendation.constraints;
  if (!recommendation.scheme) {
    std::string limits =
        fmt::format("a quality loss of at most {}", show_percent(constraints.max_quality_loss, 1));
    if (constraints.max_memory_bytes)
      limits += " and at most " + show_bytes(static_cast<double>(*constraints.max_memory_bytes));
    return fmt::format("No scheme of this run can be recommended with {}. The reasons follow.",
                       limits);
  }
  const CellSummary& cell = *recommendation.cell;
  return fmt::format("Use {} at batch {}. ", *recommendation.scheme, cell.cell->key.batch) +
         speed_text(cell) + quality_text(recommendation, analysis) + memory_text(cell) +
         reason_text(recommendation);
}

std::vector<std::string> caveats_of(const Recommendation& recommendation,
                                    const Analysis& analysis) {
  std::vector<std::string> caveats;
  const Results& results = *analysis.results;
  int64_t undone = 0;
  for (const Cell& cell : results.cells)
    undone += cell.status == CellStatus::pending || cell.status == CellStatus::running;
  if (undone > 0)
    caveats.push_back(fmt::format("The run is incomplete: {} of {} not measured yet.", undone,
                                  count_of(static_cast<int64_t>(results.cells.size()), "cell")));
  if (analysis.quality_state == QualityState::not_applicable)
    caveats.push_back(
        "Judge quality with real weights before production: this run used random ones.");
  if (analysis.quality_state == QualityState::not_measured)
    caveats.push_back("No picture was compared, so only bf16 can qualify.");
  if (analysis.quality_state == QualityState::measured && !analysis.noise_floor)
    caveats.push_back("There is no noise floor: what bf16 itself costs is not known.");
  if (recommendation.cell != nullptr) {
    if (recommendation.cell->total->count < 3)
      caveats.push_back(fmt::format("Times rest on {} only.",
                                    count_of(recommendation.cell->total->count, "run")));
    for (const std::string& note : recommendation.cell->cell->notes)
      caveats.push_back("During the measurement: " + note + ".");
  }
  if (results.plan.sizes.size() > 1)
    caveats.push_back(fmt::format("It is made for {} × {} pixels; other sizes are in the matrix.",
                                  recommendation.width, recommendation.height));
  return caveats;
}

}  // namespace fluxq::report
