/// Names and small files of a run's folder: results.sqlite, progress.md, pictures/, and, until
/// every picture is drawn, .latents/ with the baseline's latents after each step.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "bench/results.h"
#include "tensor/tensor.h"

namespace fluxq {

/// Relative to the run's folder: "pictures/int8dq/256x256-p003-s0.png".
std::string picture_file(const PictureResult& picture);

/// The baseline's latents from the same noise as `picture`'s.
std::filesystem::path latents_file(const std::filesystem::path& run_folder,
                                   const PictureResult& picture);

/// `steps`: latents after each step, f32, holding values of bf16, which is what is kept of them.
void write_latents(const std::filesystem::path& file, std::span<const Tensor> steps);
/// One vector per step. corrupt_file unless the file holds just that many; not_found.
std::vector<std::vector<float>> read_latents(const std::filesystem::path& file, int steps,
                                             int64_t elements);

/// Removes what a kill left: half-written files of pictures/ and .latents/.
void remove_leftovers(const std::filesystem::path& run_folder);
/// When nothing is to be compared any more.
void remove_latents(const std::filesystem::path& run_folder);

}  // namespace fluxq
