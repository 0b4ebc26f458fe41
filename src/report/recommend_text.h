/// The sentences of recommend.h.
#pragma once

#include "report/recommend.h"

namespace fluxq::report {

/// compare_quality where pictures mean something, else no pairs.
Comparison compare_to_scheme(const Analysis& analysis, std::string_view candidate,
                             std::string_view reference);

/// Why the cell cannot be recommended at all; empty if it can.
std::string obstacle_of(const CellSummary* cell, const SchemeQuality* quality,
                        const Analysis& analysis, const Constraints& constraints);

/// The obstacle with what speaks for the scheme, or how it falls behind the chosen one.
std::string why_not(const Candidate& candidate, const Candidate& chosen, const Analysis& analysis,
                    const Constraints& constraints);

std::string paragraph_of(const Recommendation& recommendation, const Analysis& analysis);

/// What a careful reader must know before relying on it.
std::vector<std::string> caveats_of(const Recommendation& recommendation, const Analysis& analysis);

}  // namespace fluxq::report
