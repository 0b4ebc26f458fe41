/// `fluxq bench`: a benchmark run from the plan to the report, and its hidden worker.
#include "bench/bench.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "bench/worker.h"
#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "metrics/statistics.h"
#include "report/report.h"

namespace fluxq::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kReportFile = "report.html";
constexpr int kBarColumns = 24;
constexpr double kMillisecondsPerSecond = 1000;

struct Options {
  BenchOptions bench;
  std::optional<std::vector<std::string>> sizes;
  std::optional<int> seeds;
  fs::path plan_file, prompts_file;
  bool json = false;
};

std::string name_of(const CellKey& key) {
  return fmt::format("{}, batch {}, {} x {}", key.scheme, key.batch, key.width, key.height);
}

/// A bar on a terminal; a line per finished cell and per failure everywhere.
class BenchDisplay final : public RunWatcher, public Progress {
 public:
  explicit BenchDisplay(const Session& session)
      : session_(session), bar_(!session.quiet && is_terminal()) {}
  ~BenchDisplay() override { erase(); }
  void finish() { erase(); }

  void moved(const Results&, const RunState& state) override {
    if (!bar_ || state.running.empty()) return erase();
    const auto filled = static_cast<int>(state.share * kBarColumns);
    const std::string left =
        state.seconds_left ? format_duration(*state.seconds_left) + " left" : "starting";
    draw(fmt::format("[{:#<{}}{:.<{}}] {:3.0f} %, {}: {}", "", filled, "", kBarColumns - filled,
                     state.share * 100, left, state.running));
  }

  void planned(std::string_view text) override { line(text); }

  void cell_done(const Cell& cell, const RunState& state) override {
    const double ms = median(cell.total_ms);
    line(fmt::format(
        "{:3.0f} %  {}: {:.1f} ms per run, {:.2f} pictures per second ({} of {} cells)",
        state.share * 100, name_of(cell.key), ms, cell.key.batch * kMillisecondsPerSecond / ms,
        state.cells_done + state.cells_failed, state.cells));
  }

  void failed(const Failure& failure) override {
    erase();
    fmt::print(stderr, "fluxq: {}: attempt {} failed: {}: {}\n", name_of(failure.key),
               failure.attempt, failure.code, failure.sentence);
  }

  void begin(std::string_view phase, int64_t) override {
    if (bar_) draw(std::string(phase));
  }
  void warn(std::string_view sentence) override {
    erase();
    fmt::print(stderr, "fluxq: warning: {}\n", sentence);
  }

  void line(std::string_view text) {
    erase();
    note(session_, text);
  }

 private:
  void draw(const std::string& text) {
    fmt::print(stderr, "\r\033[K{}", text);
    std::fflush(stderr);
    drawn_ = true;
  }
  void erase() {
    if (drawn_) fmt::print(stderr, "\r\033[K");
    drawn_ = false;
  }

  const Session& session_;
  bool bar_;
  bool drawn_ = false;
};

/// What the options and the plan file say; options win.
PlanRequest request_of(const Options& options) {
  PlanRequest request = options.bench.plan;
  if (options.sizes) {
    request.sizes.emplace();
    for (const std::string& size : *options.sizes) request.sizes->push_back(parse_size(size));
  }
  if (options.seeds) request.seeds = first_seeds(*options.seeds);
  if (!options.prompts_file.empty()) request.prompts = read_prompt_file(options.prompts_file);
  if (!options.plan_file.empty()) request.fill_from(read_plan_file(options.plan_file));
  return request;
}

void run(const Options& options, const Session& session) {
  BenchOptions bench = options.bench;
  bench.plan = request_of(options);
  BenchDisplay display(session);
  const Results results = run_bench(bench, display, display, session.cancel);

  int done = 0, failed = 0;
  for (const Cell& cell : results.cells) {
    done += cell.status == CellStatus::done;
    failed += cell.status == CellStatus::failed;
  }
  if (done == 0)
    fail(ErrorCode::internal, "no cell could be measured; {} has the reasons",
         (bench.run_folder / "progress.md").string());
  const report::Report made =
      report::make_report(results, bench.run_folder, {}, &display, &session.cancel);
  report::write_report(made, bench.run_folder);
  for (const std::string& problem : made.problems) display.warn(problem);
  note_report(bench.run_folder, kReportFile);
  display.finish();

  const fs::path file = bench.run_folder / kReportFile;
  if (options.json) {
    print_json({{"run", bench.run_folder.string()},
                {"report", file.string()},
                {"cells_done", done},
                {"cells_failed", failed},
                {"pictures", results.pictures.size()}});
  } else {
    print(file.string() + "\n");
  }
}

void add_worker(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("bench-worker", "One scheme of a benchmark run");
  command->group("");  // not for people
  command->callback([&session] {
    // Whatever a library prints must not get between the answers.
    const int answers = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (answers < 0) fail_errno("cannot answer on standard output", errno);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    run_worker(STDIN_FILENO, answers, session.cancel);
  });
}

}  // namespace

void add_bench(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("bench", "Measure schemes: time, memory and picture quality, resumable");
  command->footer(
      "Example: fluxq bench --schemes fp8dqrow,int8dq --batches 1,4 -o runs/first\n"
      "         fluxq bench -o runs/first          goes on after an interruption\n"
      "Finished cells survive whatever ends a run. Exit status 0: worked through, failed cells\n"
      "included; 1: no cell could be measured.");
  BenchOptions& bench = options->bench;
  PlanRequest& plan = bench.plan;
  command->add_option("-m,--model", plan.model, "A diffusers folder or a model's name");
  command
      ->add_option("--schemes", plan.schemes,
                   "Schemes to compare with bf16, or all that the device runs [all]")
      ->delimiter(',');
  command->add_option("--batches", plan.batches, "Pictures per run [cpu: 1,4; cuda: 1,4,8,16]")
      ->delimiter(',');
  command->add_option("--sizes", options->sizes, "Pixels: 1024 or 1024x768 [from the model]")
      ->delimiter(',');
  command->add_option("--steps", plan.steps, "Denoising steps [from the model: 4 or 28]");
  command->add_option("--prompts", options->prompts_file,
                      "A file with a prompt per line [prompts/bench.txt]");
  command->add_option("--seeds", options->seeds, "Pictures per prompt, with seeds 0, 1, ... [1]")
      ->check(CLI::Range(0, 10'000));
  command->add_option("--recipe", plan.recipe,
                      "A recipe file for the schemes that quantize: which layer gets which scheme");
  command->add_option("--attention", plan.attention,
                      "What the attention of the schemes that quantize computes in: bf16, or on "
                      "the GPU int8 or fp8 [bf16]");
  command->add_option("--warmups", plan.warmups, "Runs of a cell that do not count [1]");
  command->add_option("--repeats", plan.repeats, "Runs of a cell that count [5]");
  command->add_option("--plan", options->plan_file, "A plan as JSON (docs/benchmark.md)");
  command->add_option("--device", bench.device,
                      "auto, cpu or cuda [auto: the GPU where there is one]");
  command->add_option("--threads", bench.threads, "CPU threads [all cores]")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--accept-changes", bench.accept_changes,
                    "Go on with a run of another plan, model, program or device");
  command->add_flag("--json", options->json, "One JSON object on standard output");
  command->add_option("-o,--output", bench.run_folder, "The run's folder")->required();
  command->callback([options, &session] { run(*options, session); });
  add_worker(app, session);
}

}  // namespace fluxq::cli
