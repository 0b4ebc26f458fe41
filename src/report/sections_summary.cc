/// What to do, what was reached, and under which conditions.
#include <fmt/format.h>

#include <algorithm>

#include "report/numbers.h"
#include "report/sections.h"
#include "report/targets.h"

namespace fluxq::report {

TableCell absent() { return {"–", "", Tone::quiet}; }

std::string cell_name(const Analysis& analysis, const CellKey& key) {
  std::string name = fmt::format("{}, batch {}", key.scheme, key.batch);
  if (analysis.results->plan.sizes.size() > 1)
    name += fmt::format(", {} × {}", key.width, key.height);
  return name;
}

int style_of(const Analysis& analysis, std::string_view scheme) {
  if (scheme == kBaseline) return 0;
  int style = 1;
  for (const std::string& other : analysis.results->plan.schemes) {
    if (other == scheme) break;
    style += other != kBaseline;
  }
  return style;
}

std::string no_quality_reason(const Analysis& analysis) {
  switch (analysis.quality_state) {
    case QualityState::not_applicable:
      return "Not applicable: the weights are synthetic, so pictures mean nothing.";
    case QualityState::not_measured:
      return "Not measured: no picture of this run was compared with bf16's.";
    case QualityState::measured:
      break;
  }
  return {};
}

Section recommendation_section(const Recommendation& recommendation) {
  Section section{"recommendation", "Recommendation", {}};
  section.blocks.push_back(Paragraph{recommendation.paragraph, Tone::plain, true});
  if (!recommendation.caveats.empty()) section.blocks.push_back(Bullets{recommendation.caveats});
  Table table;
  table.caption = recommendation.scheme
                      ? fmt::format("Why not another scheme, with the objective of the lowest {}",
                                    recommendation.constraints.objective == Objective::memory
                                        ? "peak memory"
                                        : "time per picture")
                      : "Why no scheme qualifies";
  table.columns = {{"Scheme", false}, {"Why not", false}};
  for (const Candidate& candidate : recommendation.candidates)
    if (!candidate.why_not.empty())
      table.rows.push_back(
          {{candidate.scheme, "", Tone::plain}, {candidate.why_not, "", Tone::plain}});
  if (!table.rows.empty()) section.blocks.push_back(std::move(table));
  return section;
}

Section targets_section(const Analysis& analysis) {
  Section section{"targets", "Targets of the plan", {}};
  Table table;
  table.caption = "Each target, whether it is met, and by which figure";
  table.columns = {{"Target", false}, {"Status", false}, {"Measured", false}};
  for (const Target& target : targets_of(analysis)) {
    const Tone tone = target.status == TargetStatus::met      ? Tone::good
                      : target.status == TargetStatus::missed ? Tone::bad
                                                              : Tone::quiet;
    table.rows.push_back({{target.name, "", Tone::plain},
                          {std::string(to_string(target.status)), "", tone},
                          {target.figure, target.remark, Tone::plain}});
  }
  section.blocks.push_back(std::move(table));
  return section;
}

Document make_document(const Analysis& analysis, const Recommendation& recommendation,
                       const Gallery& gallery) {
  const Results& results = *analysis.results;
  const Environment& environment = results.environment;
  Document document;
  document.title = fmt::format("{} on {}", environment.model_name, environment.device_name);
  const auto done = std::count_if(results.cells.begin(), results.cells.end(),
                                  [](const Cell& cell) { return cell.status == CellStatus::done; });
  document.subtitle = fmt::format(
      "fluxq {}, run of {}: {}, {}, {} of {} done", environment.fluxq_version, environment.started,
      count_of(static_cast<int64_t>(results.plan.schemes.size()), "scheme"),
      count_of(results.plan.steps, "step"), done,
      count_of(static_cast<int64_t>(results.cells.size()), "cell"));
  document.sections = {recommendation_section(recommendation),
                       targets_section(analysis),
                       performance_section(analysis),
                       memory_section(analysis),
                       scaling_section(analysis),
                       tradeoff_section(analysis),
                       pictures_section(analysis, gallery),
                       drift_section(analysis),
                       environment_section(analysis),
                       method_section(analysis),
                       limits_section(analysis, gallery.problems)};
  return document;
}

}  // namespace fluxq::report
