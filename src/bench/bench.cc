#include "bench/bench.h"

#include "base/file_lock.h"
#include "base/host_memory.h"
#include "base/thread_pool.h"
#include "bench/ceiling.h"
#include "bench/environment.h"
#include "bench/progress_file.h"
#include "bench/resume.h"
#include "bench/run_cost.h"
#include "bench/run_files.h"
#include "fluxq/engine.h"
#include "pipeline/memory_plan.h"
#include "pipeline/open_device.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// The f32 run must leave room for others in a host's memory; a GPU's free memory is all its own.
constexpr double kHostShare = 0.8;
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

NoiseFloor choose_noise_floor(const ModelFolder& model, const Plan& plan, Kernels& kernels) {
  if (model.synthetic) return NoiseFloor::none;
  if (std::find(plan.schemes.begin(), plan.schemes.end(), kExact) != plan.schemes.end())
    return NoiseFloor::f32_run;
  const Recipe recipe = Recipe::standard(find_scheme(kExact));
  const auto [width, height] = plan.sizes.front();
  const MemoryRequest picture = {.batch = 1,
                                 .width = width,
                                 .height = height,
                                 .text_tokens = plan.max_text_tokens,
                                 .steps = plan.steps};
  const double share = kernels.device() == Device::cpu ? kHostShare : 1;
  const auto needed =
      static_cast<double>(plan_memory(model, recipe, picture, kernels).needed_bytes());
  return needed < share * static_cast<double>(kernels.free_bytes()) ? NoiseFloor::f32_run
                                                                    : NoiseFloor::none;
}

void measure_ceilings(Environment& environment, Kernels& kernels) {
  const Ceilings ceilings = fluxq::measure_ceilings(kernels);
  environment.ceiling_flops = ceilings.flops;
  environment.ceiling_bytes = ceilings.bytes;
}

/// Begins the run, or checks that what is there may go on.
Results prepare(Store& store, const BenchOptions& options, const std::optional<Results>& stored,
                const ModelFolder& model, const Plan& plan, Environment environment,
                Kernels& kernels) {
  const NoiseFloor noise_floor = choose_noise_floor(model, plan, kernels);
  if (!stored) {
    measure_ceilings(environment, kernels);
    store.begin(environment, plan, noise_floor);
    return store.load();
  }
  const std::vector<AcceptedChange> changes = changes_since(*stored, environment, plan);
  if (changes.empty()) return *stored;
  if (!options.accept_changes) {
    fail(ErrorCode::bad_argument,
         "{}: the run that is there differs: {}. Name another folder, or go on with "
         "--accept-changes, which records this",
         options.run_folder.string(), describe(changes));
  }
  const Environment& before = stored->environment;
  environment.started = before.started;
  if (environment.device_name == before.device_name && environment.threads == before.threads &&
      environment.isa == before.isa) {
    environment.ceiling_flops = before.ceiling_flops;
    environment.ceiling_bytes = before.ceiling_bytes;
  } else {
    measure_ceilings(environment, kernels);
  }
  accept_changes(store, *stored, changes, environment, plan, noise_floor);
  return store.load();
}

/// What each scheme of the plan needs for its largest cell.
std::string memory_lines(const ModelFolder& model, const Plan& plan, Kernels& kernels) {
  constexpr double kGigabyte = 1e9;
  const auto [width, height] =
      *std::ranges::max_element(plan.sizes, {}, [](auto size) { return size.first * size.second; });
  const MemoryRequest largest = {.batch = plan.batches.back(),
                                 .width = width,
                                 .height = height,
                                 .text_tokens = plan.max_text_tokens,
                                 .steps = plan.steps};
  const int64_t available = kernels.free_bytes();
  const auto in_gigabytes = [](int64_t bytes) { return static_cast<double>(bytes) / kGigabyte; };
  std::string text = fmt::format("memory for {} x {}, batch {}, of {:.2f} GB that are free:", width,
                                 height, largest.batch, in_gigabytes(available));
  for (const std::string& name : plan.schemes) {
    const Recipe recipe = recipe_of(plan, find_scheme(name));
    text += fmt::format("\n  {:<16} {:6.2f} GB; the largest batch that fits: {}", name,
                        in_gigabytes(plan_memory(model, recipe, largest, kernels).needed_bytes()),
                        largest_batch(model, recipe, largest, kernels, available));
  }
  return text;
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
    open_device(device, threads);
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
  // Refuses what cannot be run, before anything is written; gives the device back to the workers.
  std::unique_ptr<Kernels> kernels = open_device(device, threads);
  kernels->watch(&cancel);
  progress.begin("hash the weights", 0);
  const Environment environment = read_environment(model, device, threads, cancel);
  // Before the ceilings take scratch memory.
  const std::string memory = memory_lines(model, plan, *kernels);
  progress.begin("measure the machine", 0);
  Results results = prepare(store, options, stored, model, plan, environment, *kernels);
  watcher.planned(memory);
  kernels.reset();
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
