/// The store's tables: what is written to which row, and read back.
#pragma once

#include <string_view>

#include "bench/results.h"
#include "bench/sqlite.h"

namespace fluxq {

/// Parts of the table `pictures`.
inline constexpr std::string_view kQuality = "quality", kSeedChange = "seed change";

// Within the caller's transaction.

void write_plan(const Database& database, const Environment& environment, const Plan& plan,
                NoiseFloor noise_floor);
/// Replaces the cell of the same key; likewise the picture.
void write_cell(const Database& database, const Cell& cell);
void write_picture(const Database& database, std::string_view part, const PictureResult& picture);
void write_failure(const Database& database, const Failure& failure);
void write_change(const Database& database, const AcceptedChange& change);

/// Everything. not_found without a plan; corrupt_file for values that cannot be.
Results read_results(const Database& database);

}  // namespace fluxq
