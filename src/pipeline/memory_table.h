/// A memory plan for people.
#pragma once

#include <string>

#include "pipeline/memory_plan.h"

namespace fluxq {

/// A line per phase with its weights and activations, what is needed and free and the largest batch
/// that fits, then a line per scheme that the device runs. Ends with a newline.
std::string memory_table(const ModelFolder& model, const Recipe& recipe,
                         const MemoryRequest& request, Kernels& kernels);

}  // namespace fluxq
