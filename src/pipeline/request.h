/// What to draw, with nothing left open.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fluxq/engine.h"
#include "pipeline/memory_plan.h"
#include "pipeline/model_folder.h"

namespace fluxq {

struct Request {
  std::string prompt;           ///< UTF-8
  std::vector<uint64_t> seeds;  ///< one picture each
  int steps = 0;
  int width = 0, height = 0;  ///< pixels
  double guidance = 0;        ///< used by dev-like models only
  int max_text_tokens = 0;
};

/// What the options leave open comes from the model. bad_argument for a batch below 1.
Request resolve_request(const GenerateOptions& options, const GenerationDefaults& defaults);

/// Error(bad_argument) for what no model of this size step (ModelFolder::size_step()) can draw.
void check_request(const Request& request, int size_step);

MemoryRequest memory_of(const Request& request, Residency residency);

}  // namespace fluxq
