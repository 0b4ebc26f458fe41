/// How much memory a generation will need, computed from the configs alone, before any weight is
/// read: a model that does not fit is refused with the figures instead of being killed half-way.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/text_to_image.h"

namespace fluxq {

struct MemoryPlan {
  struct Entry {
    std::string name;  ///< "transformer weights", "denoise activations"
    int64_t bytes = 0;
  };
  std::vector<Entry> weights;      ///< resident all the time
  std::vector<Entry> activations;  ///< one phase after the other: the largest counts
  int64_t needed_bytes() const;
};

/// The weights of all parts under `recipe`.
MemoryPlan plan_weights(const ModelFolder& model, const Recipe& recipe);

/// Adds the activations of `pictures` pictures of width x height pixels with `text_tokens` tokens
/// of text.
void plan_activations(MemoryPlan& plan, const ModelFolder& model, const Recipe& recipe,
                      int64_t pictures, int64_t width, int64_t height, int64_t text_tokens);

/// Error(out_of_memory_host) with the plan's figures and what to change, unless the plan fits into
/// `available_bytes`.
void check_fits(const MemoryPlan& plan, int64_t available_bytes, const std::string& what);

}  // namespace fluxq
