/// The machine and the program that measure, and the model that is measured.
#pragma once

#include <string>

#include "bench/results.h"
#include "fluxq/cancel.h"
#include "pipeline/model_folder.h"

namespace fluxq {

/// Everything but the ceilings. Hashes the program and the model's weights. Errors of the hashes;
/// cancelled.
Environment read_environment(const ModelFolder& model, const std::string& device, int threads,
                             const CancelToken& cancel);

/// "2025-01-31T12:00:00Z".
std::string utc_now();

}  // namespace fluxq
