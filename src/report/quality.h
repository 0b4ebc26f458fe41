/// The quality half of analysis.h.
#pragma once

#include "report/analysis.h"

namespace fluxq::report {

/// Fills everything of `analysis` that comes from pictures; `analysis.results` is set.
void analyse_quality(Analysis& analysis);

bool is_flagged(const PictureResult& picture);

/// Neither flagged nor without figures.
bool is_compared(const PictureResult& picture);

}  // namespace fluxq::report
