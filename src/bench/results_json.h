/// The parts of Results as JSON: what crosses the pipe between a run and its workers, and what the
/// store keeps of the plan and the environment.
#pragma once

#include <string_view>

#include "base/json.h"
#include "bench/results.h"

namespace fluxq {

std::string_view to_string(CellStatus status);
std::string_view to_string(NoiseFloor noise_floor);

Json to_json(const Environment& environment);
Json to_json(const Plan& plan);
Json to_json(const CellKey& key);
Json to_json(const Cell& cell);
/// An infinite PSNR is "identical".
Json to_json(const PictureResult& picture);

// The reverse. All: corrupt_file naming `where` and the key for missing members, wrong types and
// values out of range; unknown keys are passed over.

Environment environment_from_json(const Json& json, std::string_view where);
Plan plan_from_json(const Json& json, std::string_view where);
CellKey cell_key_from_json(const Json& json, std::string_view where);
Cell cell_from_json(const Json& json, std::string_view where);
PictureResult picture_from_json(const Json& json, std::string_view where);
NoiseFloor noise_floor_from(std::string_view name, std::string_view where);

/// Whether `file` names something inside the run's folder: relative, without "..", not empty.
bool is_inside_run(std::string_view file);

}  // namespace fluxq
