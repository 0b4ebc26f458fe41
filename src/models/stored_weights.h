/// Weights that a checkpoint holds packed already (quant/torchao_format.h): which they are, what
/// tensors they consist of, and how they are read.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/expected.h"
#include "models/weights.h"
#include "quant/torchao_format.h"

namespace fluxq {

/// What the checkpoint says of layer `name` [out, in]. Errors of find_stored_weight().
StoredWeight stored_weight(const TensorSource& source, const std::string& name, int64_t out,
                           int64_t in);

/// The tensors that this checkpoint holds for the plan: packed weights as their parts, all else as
/// WeightPlan::expected().
std::vector<ExpectedTensor> expected_tensors(const WeightPlan& plan, const TensorSource& source);

/// Reads a packed weight. Error(corrupt_file) of Scheme::check().
PackedWeight read_stored_weight(const TensorSource& source, const std::string& name,
                                const Scheme& scheme, int64_t out, int64_t in,
                                const CancelToken& cancel);

/// A part of a model.
struct StoredPart {
  std::string name;  ///< "transformer"
  const WeightPlan& plan;
  const TensorSource& source;
};

/// The recipe that a quantized folder was made with, read from its weights: each packed one keeps
/// its scheme, all others are plain. Its main scheme is the one that most layers are packed with.
/// Nothing if no weight of the parts is packed.
std::optional<Recipe> stored_recipe(std::span<const StoredPart> parts);

}  // namespace fluxq
