/// The recipe of a run: what was asked for, or, for a folder that was quantized before, what is
/// stored.
#pragma once

#include <filesystem>
#include <string>

#include "pipeline/model_folder.h"
#include "quant/recipe.h"

namespace fluxq {

/// `scheme` empty: what is stored, bf16 for a plain model. `file` empty: the default recipe.
/// Errors: those of find_scheme() and Recipe::load(); bad_argument when a quantized folder is asked
/// to be anything but what it is.
Recipe choose_recipe(const ModelFolder& model, const std::string& scheme,
                     const std::filesystem::path& file);

}  // namespace fluxq
