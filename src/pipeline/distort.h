/// `fluxq distort`: where a scheme's error comes from, layer by layer, on the inputs of a real
/// generation.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "pipeline/probe_scheme.h"
#include "pipeline/text_to_image.h"

namespace fluxq {

/// The baseline (bf16) draws `requests` once per scheme; each layer that `recipe_file` (empty: the
/// default recipe) gives the scheme is also computed in it, from the baseline's inputs: a layer's
/// figures hold its own error, not that of the layers before it. The largest output error comes
/// first. Errors: bad_argument for a scheme of another stream than the baseline's and for a model
/// that is packed already; those of TextToImage.
std::vector<LayerDistortion> distort(const ModelFolder& model,
                                     std::span<const Scheme* const> schemes,
                                     const std::filesystem::path& recipe_file,
                                     std::span<const Request> requests, Kernels& kernels,
                                     Progress& progress, const CancelToken& cancel);

/// The schemes that can be studied on a device: all of the baseline's stream but the baseline.
std::vector<const Scheme*> distortable_schemes(Device device);

}  // namespace fluxq
