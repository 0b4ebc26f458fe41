/// Runs made in code, for the tests of this room and for looking at a report without a benchmark.
/// Always the same bytes.
#pragma once

#include <filesystem>

#include "bench/results.h"

namespace fluxq::report {

/// bf16, fp8dqrow, int8dq, int4wo and sparse24-int8dq at batches 1, 4, 8 and 16, figures like those
/// of an H100: int8dq is the fastest that keeps pictures, sparse24-int8dq is faster but breaks
/// them, one of its pictures is black, bf16 has one identical twin among int8dq's pictures, and
/// int4wo failed at batch 16. Noise floor by an f32 run.
Results example_results(int prompts = 4, int seeds = 2);

/// One cell that is done; times scatter by 0.5 % about `total_ms`.
Cell example_cell(const CellKey& key, double total_ms, int repeats = 8, uint64_t seed = 1);

/// A compared picture.
PictureResult example_picture(const std::string& scheme, int prompt, uint64_t seed, double flip);

/// Draws the pictures that `results` names into `folder`, `side` pixels wide and high, changed as
/// much as their FLIP says, and notes the hashes of their files.
void draw_pictures(Results& results, const std::filesystem::path& folder, int side);

/// Writes results.sqlite into `folder`.
void store(const Results& results, const std::filesystem::path& folder);

}  // namespace fluxq::report
