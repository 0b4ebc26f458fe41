#include "report/recommend.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "report/recommend_text.h"

namespace fluxq::report {
namespace {

struct ObjectiveName {
  Objective objective;
  std::string_view name;
};

constexpr std::array kObjectives = {ObjectiveName{Objective::latency, "latency"},
                                    ObjectiveName{Objective::throughput, "throughput"},
                                    ObjectiveName{Objective::memory, "memory"}};

void check(const Analysis& analysis, const Constraints& constraints) {
  const Plan& plan = analysis.results->plan;
  if (analysis.cells.empty() || plan.batches.empty() || plan.sizes.empty())
    fail(ErrorCode::bad_argument, "recommend: expected a run with cells, got none");
  if (!(constraints.max_quality_loss >= 0) || !std::isfinite(constraints.max_quality_loss))
    fail(ErrorCode::bad_argument, "--max-quality-loss: expected a percentage of 0 or more, got {}",
         constraints.max_quality_loss);
  if (constraints.max_memory_bytes && *constraints.max_memory_bytes <= 0)
    fail(ErrorCode::bad_argument, "--max-memory: expected a size above 0, got {}",
         *constraints.max_memory_bytes);
  if (constraints.batch &&
      std::find(plan.batches.begin(), plan.batches.end(), *constraints.batch) == plan.batches.end())
    fail(ErrorCode::bad_argument, "--batch: expected one of this run's batches {}, got {}",
         fmt::join(plan.batches, ", "), *constraints.batch);
}

std::vector<int> allowed_batches(const Plan& plan, const Constraints& constraints) {
  if (constraints.batch) return {*constraints.batch};
  if (constraints.objective == Objective::throughput) return plan.batches;
  return {*std::min_element(plan.batches.begin(), plan.batches.end())};
}

std::vector<std::string> all_schemes(const Analysis& analysis) {
  std::vector<std::string> schemes = analysis.results->plan.schemes;
  for (const CellSummary& cell : analysis.cells)
    if (std::find(schemes.begin(), schemes.end(), cell.cell->key.scheme) == schemes.end())
      schemes.push_back(cell.cell->key.scheme);
  return schemes;
}

// Lower is better; the figures of qualifying cells exist.
double score(const CellSummary& cell, Objective objective) {
  if (objective == Objective::memory && cell.memory)
    return static_cast<double>(cell.memory->peak_bytes);
  return *cell.per_picture_ms;
}

// The best of the scheme's cells that qualify, else the first with the reason against it.
Candidate candidate_of(const std::string& scheme, const std::vector<int>& batches,
                       const Analysis& analysis, const Constraints& constraints) {
  Candidate candidate;
  candidate.scheme = scheme;
  candidate.quality = analysis.find_quality(scheme);
  const auto [width, height] = analysis.results->plan.sizes.front();
  for (const int batch : batches) {
    const CellSummary* cell = analysis.find({scheme, batch, width, height});
    const std::string obstacle = obstacle_of(cell, candidate.quality, analysis, constraints);
    const bool better = obstacle.empty() &&
                        (!candidate.qualifies || score(*cell, constraints.objective) <
                                                     score(*candidate.cell, constraints.objective));
    if (better || candidate.cell == nullptr) {
      candidate.cell = cell;
      candidate.qualifies = obstacle.empty();
      candidate.why_not = obstacle;
    }
  }
  return candidate;
}

// Sizes within 1 % of each other are the same: an allocator's rounding decides nothing.
bool needs_less(double a, double b) { return a < 0.99 * b; }

int64_t peak(const Candidate& candidate) {
  return candidate.cell->memory ? candidate.cell->memory->peak_bytes : 0;
}

bool is_tied(const Candidate& candidate, const Candidate& best, Objective objective) {
  if (objective == Objective::memory)
    return !needs_less(score(*best.cell, objective), score(*candidate.cell, objective));
  const auto times = compare_times(*candidate.cell->cell, *best.cell->cell);
  return !times || times->verdict == Verdict::not_distinguishable;
}

// Whether `a` wins over `b` when the objective cannot tell them apart.
bool wins_tie(const Candidate& a, const Candidate& b, const Analysis& analysis,
              const Constraints& constraints) {
  if (constraints.objective != Objective::memory &&
      (a.scheme == kBaseline) != (b.scheme == kBaseline))
    return a.scheme == kBaseline;
  const Verdict closer = compare_to_scheme(analysis, a.scheme, b.scheme).verdict;
  if (closer != Verdict::not_distinguishable) return closer == Verdict::better;
  if (constraints.objective == Objective::memory)
    return *a.cell->per_picture_ms < *b.cell->per_picture_ms;
  const auto ours = static_cast<double>(peak(a)), theirs = static_cast<double>(peak(b));
  if (needs_less(ours, theirs) || needs_less(theirs, ours)) return ours < theirs;
  return score(*a.cell, constraints.objective) < score(*b.cell, constraints.objective);
}

const Candidate* choose(const std::vector<Candidate>& candidates, const Analysis& analysis,
                        const Constraints& constraints) {
  const Candidate* best = nullptr;
  for (const Candidate& candidate : candidates)
    if (candidate.qualifies && (best == nullptr || score(*candidate.cell, constraints.objective) <
                                                       score(*best->cell, constraints.objective)))
      best = &candidate;
  const Candidate* chosen = best;
  for (const Candidate& candidate : candidates)
    if (candidate.qualifies && &candidate != best &&
        is_tied(candidate, *best, constraints.objective) &&
        wins_tie(candidate, *chosen, analysis, constraints))
      chosen = &candidate;
  return chosen;
}

}  // namespace

std::string_view to_string(Objective objective) {
  for (const ObjectiveName& entry : kObjectives)
    if (entry.objective == objective) return entry.name;
  fail(ErrorCode::internal, "objective {} has no name", static_cast<int>(objective));
}

Objective parse_objective(std::string_view name) {
  for (const ObjectiveName& entry : kObjectives)
    if (entry.name == name) return entry.objective;
  fail(ErrorCode::bad_argument, "--objective: expected latency, throughput or memory, got \"{}\"",
       name);
}

Comparison compare_to_scheme(const Analysis& analysis, std::string_view candidate,
                             std::string_view reference) {
  if (analysis.quality_state != QualityState::measured) return {};
  return compare_quality(*analysis.results, candidate, reference);
}

Recommendation recommend(const Analysis& analysis, const Constraints& constraints) {
  check(analysis, constraints);
  const Plan& plan = analysis.results->plan;
  Recommendation result;
  result.constraints = constraints;
  std::tie(result.width, result.height) = plan.sizes.front();
  const std::vector<int> batches = allowed_batches(plan, constraints);
  for (const std::string& scheme : all_schemes(analysis))
    result.candidates.push_back(candidate_of(scheme, batches, analysis, constraints));

  const Candidate* chosen = choose(result.candidates, analysis, constraints);
  if (chosen != nullptr) {
    result.scheme = chosen->scheme;
    result.cell = chosen->cell;
    for (Candidate& candidate : result.candidates) {
      if (&candidate == chosen) continue;
      if (candidate.cell != nullptr)
        candidate.against_chosen = compare_times(*candidate.cell->cell, *chosen->cell->cell);
      candidate.why_not = why_not(candidate, *chosen, analysis, constraints);
    }
  }
  result.paragraph = paragraph_of(result, analysis);
  result.caveats = caveats_of(result, analysis);
  return result;
}

}  // namespace fluxq::report
