/// The machine-readable half of a report: results.json with every sample, and the pieces that
/// recommendation.json shares with it. A number that is not finite is null ("identical" for the
/// PSNR of equal pictures), text that is not UTF-8 is repaired.
#pragma once

#include "base/json.h"
#include "report/analysis.h"

namespace fluxq::report {

/// null unless finite.
Json number(double value);

Json to_json(const Interval& interval);      ///< [lo, hi]
Json to_json(const Summary& summary);        ///< {count, median, q25, q75}
Json to_json(const Estimate& estimate);      ///< {value, interval or null, count}
Json to_json(const Comparison& comparison);  ///< {pairs, effect, interval, verdict}
/// "faster", "slower" or "not distinguishable", of a ratio of times.
std::string_view verdict_name(const Comparison& time_ratio);
/// "measured", "not applicable", "not measured".
std::string_view to_string(QualityState state);

/// results.json: environment, plan, cells, quality, pictures, failures, accepted_changes.
Json results_json(const Analysis& analysis);

/// As a file holds it: indented, ends in a newline, always UTF-8.
std::string dump(const Json& json);

}  // namespace fluxq::report
