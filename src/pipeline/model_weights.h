/// What weights a model has, and where they come from: its folder's files, or a formula for a
/// synthetic model.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "checkpoint/tensor_source.h"
#include "models/weights.h"
#include "pipeline/model_folder.h"

namespace fluxq {

/// The plans of a model's parts by name: "text_encoder", "text_encoder_2", "transformer", "vae".
std::map<std::string, WeightPlan> weight_plans(const ModelFolder& model);

/// The tensors of one part. Errors: those of TensorStore.
std::unique_ptr<TensorSource> open_tensors(const ModelFolder& model, const std::string& part);

/// One hash for all weights of a model: weights_sha256() of its folder, or of the description of a
/// synthetic model's tensors.
std::string model_weights_sha256(const ModelFolder& model, int threads, const CancelToken& cancel);

}  // namespace fluxq
