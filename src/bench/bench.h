/// A whole benchmark run: the plan, the environment, resuming, the work.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bench/plan.h"
#include "bench/runner.h"

namespace fluxq {

struct BenchOptions {
  PlanRequest plan;  ///< what the user said; on resuming the rest is the stored run's
  std::filesystem::path run_folder;
  std::optional<std::string> device;  ///< "cpu" or "cuda"
  std::optional<int> threads;         ///< of the CPU
  bool accept_changes = false;
  std::vector<std::string> worker_command = {"/proc/self/exe", "bench-worker"};
};

/// Begins a run in `run_folder` (made if its parent exists), or goes on with the one that is there,
/// until every unit is done or failed. Returns what is stored then.
/// Errors: io naming the process that uses the folder; bad_argument with the differences, if a run
/// of another model, plan, program or device is there and changes are not accepted; those of the
/// plan, the model, the store; cancelled. Whatever ends it, what was measured stays.
Results run_bench(const BenchOptions& options, RunWatcher& watcher, Progress& progress,
                  const CancelToken& cancel);

/// Rewrites progress.md once the report is there.
void note_report(const std::filesystem::path& run_folder, const std::string& report);

}  // namespace fluxq
