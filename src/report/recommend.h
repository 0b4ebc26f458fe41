/// Which scheme to run in production, and for every other scheme why not.
///
/// A scheme qualifies if its run is done, its peak memory is within the limit, none of its pictures
/// is NaN, black or constant where the baseline's is not, and the whole 95 % interval of its
/// quality loss is within the limit (the baseline's loss is 0 by definition; with synthetic weights
/// there is no quality to judge). Of those that qualify, the best by the objective and all that
/// cannot be told from it by the paired interval are a group; of the group wins the baseline, else
/// the scheme whose pictures are closer by the paired interval, else the one that needs less
/// memory, else the one of the better median. So no scheme is preferred to bf16 without evidence.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "report/analysis.h"

namespace fluxq::report {

enum class Objective { latency, throughput, memory };

std::string_view to_string(Objective objective);
/// bad_argument naming the three for anything else.
Objective parse_objective(std::string_view name);

struct Constraints {
  double max_quality_loss = 5;  ///< percent: 100 x mean FLIP
  std::optional<int64_t> max_memory_bytes = {};
  std::optional<int> batch = {};  ///< nothing: the plan's smallest; for throughput, any
  Objective objective = Objective::latency;
};

struct Candidate {
  std::string scheme;
  const CellSummary* cell = nullptr;  ///< the one that was judged; none if the run has none
  const SchemeQuality* quality = nullptr;
  bool qualifies = false;
  std::string why_not;  ///< sentences; empty for the recommended scheme
  /// Its time over the recommended scheme's, per picture.
  std::optional<Comparison> against_chosen;
};

/// Points into the Analysis, and that into the Results.
struct Recommendation {
  Constraints constraints;
  int width = 0, height = 0;  ///< the plan's first size
  std::optional<std::string> scheme;
  const CellSummary* cell = nullptr;  ///< of the recommended scheme
  std::string paragraph;
  std::vector<std::string> caveats;   ///< sentences
  std::vector<Candidate> candidates;  ///< all schemes, in the plan's order
};

/// bad_argument: a run without cells, a batch that the plan lacks (naming those it has), limits
/// that are negative or no numbers.
Recommendation recommend(const Analysis& analysis, const Constraints& constraints);

/// As recommendation.json holds it.
Json to_json(const Recommendation& recommendation, const Analysis& analysis);

}  // namespace fluxq::report
