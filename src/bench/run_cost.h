/// What one run of a cell costs by the model's definition, whatever the scheme: the numerator of
/// achieved rates, and what the time left is estimated by.
#pragma once

#include "bench/results.h"
#include "models/cost.h"
#include "pipeline/text_to_image.h"

namespace fluxq {

/// `plan` gives steps and text tokens, `key` batch and size.
struct RunCost {
  Cost text;       ///< both encoders, once for the whole batch
  Cost condition;  ///< modulation of all steps
  Cost step;       ///< each step
  Cost decode;
  int steps = 0;

  double flops() const;
  /// Of the longest piece of work between two signs of life of a worker.
  double longest_piece_flops() const;
};

RunCost run_cost(const ModelFolder& model, const Plan& plan, const CellKey& key);

/// Resident weights x the times a run reads each: text encoders and VAE once, the transformer in
/// each step, but its modulation once. Modulation is taken to be stored as the baseline's layers
/// are.
double weight_bytes_read(const TextToImage& pipeline, const RunCost& cost);

}  // namespace fluxq
