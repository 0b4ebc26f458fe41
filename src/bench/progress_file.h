/// RUN/progress.md: where a run stands, for whoever looks into the folder while it works or after
/// it was interrupted. Its headings and its checklist are those of the template in the test plan
/// that the benchmark was made for; what is ticked are facts of this run.
#pragma once

#include <filesystem>
#include <string>

#include "bench/results.h"
#include "bench/runner.h"

namespace fluxq {

/// `stopped`: why the run is not going on, empty while it is. `report`: the report's file, once
/// there is one.
std::string progress_text(const Results& results, const RunState& state, const std::string& stopped,
                          const std::string& report);

void write_progress(const std::filesystem::path& run_folder, const Results& results,
                    const RunState& state, const std::string& stopped = "",
                    const std::string& report = "");

}  // namespace fluxq
