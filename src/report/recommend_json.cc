/// The form of recommendation.json.
#include "report/json.h"
#include "report/recommend.h"

namespace fluxq::report {
namespace {

Json candidate_json(const Candidate& candidate, const Recommendation& recommendation) {
  Json json = {{"scheme", candidate.scheme},
               {"recommended", recommendation.scheme == candidate.scheme},
               {"qualifies", candidate.qualifies},
               {"why_not", candidate.why_not.empty() ? Json() : Json(candidate.why_not)}};
  if (candidate.cell != nullptr) {
    const CellSummary& cell = *candidate.cell;
    json["batch"] = cell.cell->key.batch;
    if (cell.total) json["total_ms"] = to_json(*cell.total);
    if (cell.per_picture_ms) json["per_picture_ms"] = number(*cell.per_picture_ms);
    if (cell.time_ratio) {
      json["speedup"] = to_json(speedup(*cell.time_ratio));
      json["latency_reduction_percent"] = to_json(latency_reduction(*cell.time_ratio));
      json["against_bf16"] = verdict_name(*cell.time_ratio);
    }
    if (cell.memory) json["peak_bytes"] = cell.memory->peak_bytes;
  }
  if (candidate.against_chosen) json["time_over_recommended"] = to_json(*candidate.against_chosen);
  if (candidate.quality != nullptr && candidate.quality->loss_percent)
    json["quality_loss_percent"] = to_json(*candidate.quality->loss_percent);
  return json;
}

}  // namespace

Json to_json(const Recommendation& recommendation, const Analysis& analysis) {
  const Constraints& limits = recommendation.constraints;
  Json json = {
      {"format", 1},
      {"scheme", recommendation.scheme ? Json(*recommendation.scheme) : Json()},
      {"batch", recommendation.cell ? Json(recommendation.cell->cell->key.batch) : Json()},
      {"width", recommendation.width},
      {"height", recommendation.height},
      {"paragraph", recommendation.paragraph},
      {"caveats", recommendation.caveats},
      {"quality", std::string(to_string(analysis.quality_state))},
      {"constraints",
       {{"max_quality_loss_percent", number(limits.max_quality_loss)},
        {"max_memory_bytes", limits.max_memory_bytes ? Json(*limits.max_memory_bytes) : Json()},
        {"batch", limits.batch ? Json(*limits.batch) : Json()},
        {"objective", std::string(to_string(limits.objective))}}}};
  Json& candidates = json["candidates"] = Json::array();
  for (const Candidate& candidate : recommendation.candidates)
    candidates.push_back(candidate_json(candidate, recommendation));
  return json;
}

}  // namespace fluxq::report
