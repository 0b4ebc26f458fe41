/// Works through a run's units, one child process per scheme. What goes wrong with a child (it
/// crashes, falls silent, answers nonsense, runs out of memory, loses its device) ends an attempt,
/// at most the unit, never the run; this process alone writes the results.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/store.h"
#include "bench/work_list.h"
#include "bench/worker_process.h"

namespace fluxq {

struct RunnerOptions {
  std::filesystem::path run_folder;
  std::vector<std::string> worker_command;
  /// Of one run of a cell, and of its longest piece between two signs of life.
  std::function<double(const CellKey&)> run_flops, piece_flops;
  /// A worker that says nothing for this long, and 20 times what the piece of work at hand should
  /// take, hangs.
  double silence_s = kSilenceSeconds;
};

/// Where a run stands.
struct RunState {
  double share = 0;  ///< of the whole plan's work, 0 to 1
  int cells_done = 0, cells_failed = 0, cells = 0;
  int pictures_done = 0, pictures = 0;
  std::string running, next;  ///< empty at the end
  std::optional<double> seconds_left;
};

class RunWatcher {
 public:
  virtual ~RunWatcher() = default;
  /// Before the first cell: what each scheme will need, in lines for people.
  virtual void planned(std::string_view /*text*/) {}
  /// After each unit and before the next.
  virtual void moved(const Results& /*results*/, const RunState& /*state*/) {}
  virtual void cell_done(const Cell& /*cell*/, const RunState& /*state*/) {}
  /// An attempt failed.
  virtual void failed(const Failure& /*failure*/) {}
  virtual void warn(std::string_view /*sentence*/) {}
};

class Runner {
 public:
  Runner(Store& store, Results results, RunnerOptions options, RunWatcher& watcher,
         const CancelToken& cancel);
  ~Runner();

  /// Until nothing is left to do. Errors end the run: cancelled, disk_full, io.
  void run();
  const Results& results() const { return results_; }
  const RunState& state() const { return state_; }

 private:
  void run_scheme(SchemeWork& work);
  void do_unit(const std::string& scheme, Unit& unit);
  void start_worker(const std::string& scheme);
  double timeout_s(const CellKey& key) const;
  void keep(const Unit& unit, Answer answer);
  void note_failure(const Unit& unit, const WorkerFailure& failure);
  void give_up(const Unit& unit, const WorkerFailure& failure);
  void move(const Unit* unit, const std::string& next);
  Cell& cell_of(const CellKey& key);

  Store& store_;
  Results results_;
  RunnerOptions options_;
  RunWatcher& watcher_;
  const CancelToken& cancel_;
  RunState state_;
  std::unique_ptr<WorkerProcess> worker_;
  double done_work_ = 0, all_work_ = 0;  // FLOPs
  double session_work_ = 0;
  std::chrono::steady_clock::time_point begun_;
};

}  // namespace fluxq
