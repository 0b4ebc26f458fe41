/// What a run wants to know of its machine before it begins, found out by a worker: the run's own
/// process never uses the device, so that all of it is the workers'.
#pragma once

#include <string>
#include <vector>

#include "bench/messages.h"
#include "fluxq/cancel.h"
#include "fluxq/progress.h"

namespace fluxq {

/// The worker's side. Errors: those of the device, the model, and the operations.
Survey survey_machine(const SurveyOrder& order, Progress& progress);

/// The run's side: starts a worker, asks it, and ends it. Errors: those of the worker's, internal
/// if it crashed or fell silent; cancelled.
Survey ask_for_survey(const std::vector<std::string>& worker_command, const SurveyOrder& order,
                      Progress& progress, const CancelToken& cancel);

}  // namespace fluxq
