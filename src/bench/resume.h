/// Going on with a run that was begun earlier, perhaps on a machine, a program, a model or a plan
/// that is no longer the same.
#pragma once

#include <string>
#include <vector>

#include "bench/results.h"
#include "bench/store.h"

namespace fluxq {

/// What differs between the run as stored and what would go on with it now; `time` is now.
std::vector<AcceptedChange> changes_since(const Results& stored, const Environment& environment,
                                          const Plan& plan);

/// "driver: 550.1 became 560.2; steps: 4 became 8"
std::string describe(const std::vector<AcceptedChange>& changes);

/// Writes the changes down and goes on. Where what is drawn has changed (weights, steps, guidance,
/// text tokens), nothing measured before can stand beside what comes: it is measured again, and the
/// database as it was is kept as results.before-N.sqlite. Pictures of prompts that have changed are
/// drawn again. Everything else stays.
void accept_changes(Store& store, const Results& stored, const std::vector<AcceptedChange>& changes,
                    const Environment& environment, const Plan& plan, NoiseFloor noise_floor);

}  // namespace fluxq
