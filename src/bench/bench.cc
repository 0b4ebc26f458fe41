#include "bench/bench.h"

#include <tuple>

#include "base/file_lock.h"
#include "base/thread_pool.h"
#include "bench/environment.h"
#include "bench/progress_file.h"
#include "bench/resume.h"
#include "bench/run_cost.h"
#include "bench/run_files.h"
#include "bench/survey.h"
#include "fluxq/engine.h"
#include "pipeline/attention_precision.h"
#include "pipeline/open_device.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// Pictures come fast; progress.md need not.
constexpr std::chrono::seconds kRewriteInterval{2};

/// Rewrites progress.md, then passes on.
class ProgressWriter final : public RunWatcher {
 public:
  ProgressWriter(const fs::path& run_folder, RunWatcher& next)
      : run_folder_(run_folder), next_(next) {}

  void moved(const Results& results, const RunState& state) override {
    const int finished = state.cells_done + state.cells_failed;
    if (finished != finished_ || state.running.empty() ||
        Clock::now() - written_ > kRewriteInterval) {
      write_progress(run_folder_, results, state);
      finished_ = finished;
      written_ = Clock::now();
    }
    next_.moved(results, state);
  }
  void planned(std::string_view text) override { next_.planned(text); }
  void cell_done(const Cell& cell, const RunState& state) override { next_.cell_done(cell, state); }
  void failed(const Failure& failure) override { next_.failed(failure); }
  void warn(std::string_view sentence) override { next_.warn(sentence); }

 private:
  const fs::path& run_folder_;
  RunWatcher& next_;
  int finished_ = -1;
  Clock::time_point written_;
};

void make_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::is_directory(folder, error)) return;
  fs::create_directories(folder, error);
  if (error) fail_errno("cannot make the folder " + folder.string(), error.value());
}

/// A path means the same from everywhere; a name stays one.
std::string model_reference(const std::string& model) {
  std::error_code error;
  if (!fs::is_directory(model, error)) return model;
  const fs::path absolute = fs::canonical(model, error);
  return error ? model : absolute.string();
}

/// What differs from the run that is there. Error(bad_argument) unless that is accepted.
std::vector<AcceptedChange> accepted_changes(const BenchOptions& options, const Results& stored,
                                             const Environment& environment, const Plan& plan) {
  std::vector<AcceptedChange> changes = changes_since(stored, environment, plan);
  if (!changes.empty() && !options.accept_changes) {
    fail(ErrorCode::bad_argument,
         "{}: the run that is there differs: {}. Name another folder, or go on with "
         "--accept-changes, which records this",
         options.run_folder.string(), describe(changes));
  }
  return changes;
}

/// Whether the ceilings of one are those of the other.
bool is_same_machine(const Environment& a, const Environment& b) {
  return std::tie(a.device_name, a.threads, a.isa) == std::tie(b.device_name, b.threads, b.isa);
}

}  // namespace

Results run_bench(const BenchOptions& options, RunWatcher& watcher, Progress& progress,
                  const CancelToken& cancel) {
  const fs::path& folder = options.run_folder;
  if (folder.empty()) fail(ErrorCode::bad_argument, "the run's folder: expected one, got none");
  PlanRequest request = options.plan;
  const auto resolve = [&](const std::string& device) {
    if (!request.model) request.model = "emoji-flux";
    request.model = model_reference(*request.model);
    if (request.recipe && !request.recipe->empty())
      request.recipe = fs::absolute(*request.recipe).string();
    ModelFolder model = read_model_folder(find_model(*request.model), progress);
    return std::pair(resolve_plan(request, model, device == "cuda" ? Device::cuda : Device::cpu),
                     std::move(model));
  };
  std::string device = resolve_device(options.device.value_or("auto"));
  std::error_code error;
  int threads = options.threads.value_or(default_threads());
  // What cannot be planned leaves no folder behind.
  if (!fs::exists(folder / kResultsFile, error)) {
    check_device(device, threads);
    resolve(device);
  }
  make_folder(folder);
  const FileLock lock(folder / "run.lock");
  Store store(folder);
  std::optional<Results> stored;
  if (store.has_plan()) {
    stored = store.load();
    request.fill_from(to_request(stored->plan));
    if (!options.device) device = stored->environment.device;
    threads = options.threads.value_or(stored->environment.threads);
  }
  const auto [plan, model] = resolve(device);
  if (request.attention && *request.attention != plan.attention)
    watcher.warn(attention_fallback(*request.attention));
  // Refuses what cannot be run, before anything is written.
  check_device(device, threads);
  progress.begin("hash the weights", 0);
  Environment environment = read_environment(model, device, threads, cancel);
  std::vector<AcceptedChange> changes;
  if (stored) {
    changes = accepted_changes(options, *stored, environment, plan);
    environment.started = stored->environment.started;
  }
  progress.begin("measure the machine", 0);
  const bool is_measured = stored && is_same_machine(stored->environment, environment);
  const Survey survey =
      ask_for_survey(options.worker_command,
                     {.device = device, .threads = threads, .ceilings = !is_measured, .plan = plan},
                     progress, cancel);
  const Ceilings ceilings = is_measured ? Ceilings{.flops = stored->environment.ceiling_flops,
                                                   .bytes = stored->environment.ceiling_bytes}
                                        : survey.ceilings;
  environment.ceiling_flops = ceilings.flops;
  environment.ceiling_bytes = ceilings.bytes;
  if (!stored) store.begin(environment, plan, survey.noise_floor);
  if (!changes.empty())
    accept_changes(store, *stored, changes, environment, plan, survey.noise_floor);
  const Results results = store.load();
  watcher.planned(survey.memory);
  remove_leftovers(folder);

  ProgressWriter writer(folder, watcher);
  const auto cost = [&plan = results.plan, &model = model](const CellKey& key) {
    return run_cost(model, plan, key);
  };
  Runner runner(
      store, results,
      {.run_folder = fs::absolute(folder),
       .worker_command = options.worker_command,
       .run_flops = [&](const CellKey& key) { return cost(key).flops(); },
       .piece_flops = [&](const CellKey& key) { return cost(key).longest_piece_flops(); }},
      writer, cancel);
  try {
    runner.run();
  } catch (const Error& stopped) {
    try {
      write_progress(folder, runner.results(), runner.state(), stopped.what());
    } catch (const Error&) {  // the first error is the one to tell
    }
    throw;
  }
  return store.load();
}

void note_report(const fs::path& run_folder, const std::string& report) {
  const Results results = load_results(run_folder);
  RunState state;
  state.share = 1;
  const WorkList left = list_work(results, run_folder, [](const CellKey&) { return 1.0; });
  state.cells = left.cells;
  state.pictures = state.pictures_done = left.pictures;
  for (const SchemeWork& scheme : left.schemes)
    for (const Unit& unit : scheme.units) state.pictures_done -= unit.kind != Unit::Kind::cell;
  for (const Cell& cell : results.cells) {
    state.cells_done += cell.status == CellStatus::done;
    state.cells_failed += cell.status == CellStatus::failed;
  }
  write_progress(run_folder, results, state, "", report);
}

}  // namespace fluxq
