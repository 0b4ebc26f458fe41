/// The sections of a report, in the order of the page. Each says in words what its tables and
/// charts show; sections without data say why.
#pragma once

#include "report/document.h"
#include "report/gallery.h"
#include "report/recommend.h"

namespace fluxq::report {

Section recommendation_section(const Recommendation& recommendation);
Section targets_section(const Analysis& analysis);
Section performance_section(const Analysis& analysis);
Section memory_section(const Analysis& analysis);
Section scaling_section(const Analysis& analysis);
Section tradeoff_section(const Analysis& analysis);  ///< quality against speed
Section pictures_section(const Analysis& analysis, const Gallery& gallery);
Section drift_section(const Analysis& analysis);
Section environment_section(const Analysis& analysis);
Section method_section(const Analysis& analysis);
Section limits_section(const Analysis& analysis, const std::vector<std::string>& problems);

/// All of them.
Document make_document(const Analysis& analysis, const Recommendation& recommendation,
                       const Gallery& gallery);

// For the sections.

/// A value that is not there.
TableCell absent();
/// "bf16, batch 4", with the size where the run has several.
std::string cell_name(const Analysis& analysis, const CellKey& key);
/// The chart style of a scheme: its place in the plan, bf16 first.
int style_of(const Analysis& analysis, std::string_view scheme);
/// Why quality is not shown; empty when it is measured.
std::string no_quality_reason(const Analysis& analysis);

}  // namespace fluxq::report
