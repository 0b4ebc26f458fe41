#include "bench/runner.h"

#include <algorithm>
#include <csignal>
#include <functional>

#include "base/file.h"
#include "base/test_support.h"
#include "bench/results_json.h"
#include "bench/testing.h"

namespace fluxq {
namespace {

using ::testing::HasSubstr;
using namespace testing;

/// A shell script in the worker's place: it answers every order from files, and misbehaves where it
/// is told to. `$s` is the scheme, `$b` the batch of the cell that is asked for.
constexpr std::string_view kWorker = R"sh(
cd "$0" && echo started >> starts
while read -r order; do
  case "$order" in
    *'"do":"load"'*)
      s=${order#*'"scheme":"'} s=${s%%'"'*}
      @LOAD@
      echo '{"say":"ready"}' ;;
    *)
      b=${order#*'"batch":'} b=${b%%[,\}]*}
      @CELL@
      cat "$s-$b" ;;
  esac
done
)sh";

std::string with(std::string_view script, std::string_view mark, const std::string& text) {
  std::string out(script);
  return out.replace(out.find(mark), mark.size(), text);
}

/// In a cell of int8dq at batch 4: the first time only, or always.
std::string once(const std::string& command) {
  return "if [ $s-$b = int8dq-4 ] && [ ! -e once ]; then : > once; " + command + "; fi";
}
std::string always(const std::string& command) {
  return "if [ $s-$b = int8dq-4 ]; then " + command + "; fi";
}
std::string say_failed(const std::string& code) {
  return R"(echo '{"say":"failed","code":")" + code + R"(","text":"as told"}'; continue)";
}

class RunnerTest : public ::testing::Test, public RunWatcher {
 protected:
  RunnerTest() {
    std::signal(SIGPIPE, SIG_IGN);  // as the program does
    Environment environment = sample_environment();
    environment.synthetic = true;  // cells only
    Store(folder_.path()).begin(environment, sample_plan(), NoiseFloor::none);
    for (const CellKey& key : cells_of(sample_plan())) {
      const std::string name = fmt::format("{}-{}", key.scheme, key.batch);
      write_test_file(folder_ / name,
                      to_line(Answer{.kind = Answer::Kind::cell, .cell = sample_cell(key)}));
    }
  }

  /// What is stored after a run, whatever ended it.
  Results run(const std::string& in_cell, const std::string& on_load = ":") {
    return run_command({"/bin/sh", "-c", with(with(kWorker, "@LOAD@", on_load), "@CELL@", in_cell),
                        folder_.path().string()});
  }
  Results run_command(const std::vector<std::string>& command) {
    Store store(folder_.path());
    Runner runner(store, store.load(),
                  {.run_folder = folder_.path(),
                   .worker_command = command,
                   .run_flops = [](const CellKey& key) { return 1.0 * key.batch; },
                   .piece_flops = [](const CellKey&) { return 0.0; },
                   .silence_s = silence_s_},
                  *this, cancel_);
    runner.run();
    return load_results(folder_.path());
  }

  void cell_done(const Cell& cell, const RunState&) override {
    if (on_cell_done_) on_cell_done_(cell);
  }

  int64_t processes() const {
    const std::string starts = read_text_file(folder_ / "starts", 1 << 10);
    return std::ranges::count(starts, '\n');
  }
  /// The cell that the script is told about; the three others must be as they should.
  static const Cell& the_cell(const Results& results) {
    for (size_t i = 0; i < 3; ++i) {
      const Cell& cell = results.cells[i];
      EXPECT_EQ(to_json(cell), to_json(sample_cell(cell.key))) << cell.key.scheme;
    }
    return results.cells[3];
  }
  void expect_done_in_two_attempts(const Results& results, const std::string& code,
                                   const std::string& part) {
    const Cell& cell = the_cell(results);
    EXPECT_EQ(cell.status, CellStatus::done);
    EXPECT_EQ(cell.attempts, 2);
    ASSERT_EQ(results.failures.size(), 1u);
    EXPECT_EQ(results.failures[0].code, code);
    EXPECT_THAT(results.failures[0].sentence, HasSubstr(part));
    EXPECT_EQ(processes(), 3);
  }

  TempFolder folder_;
  CancelToken cancel_;
  double silence_s_ = 60;
  std::function<void(const Cell&)> on_cell_done_;
};

TEST_F(RunnerTest, MeasuresEachSchemeInAProcessOfItsOwn) {
  const Results results = run(":");
  EXPECT_EQ(to_json(the_cell(results)), to_json(sample_cell({"int8dq", 4, 64, 64})));
  EXPECT_TRUE(results.failures.empty());
  EXPECT_EQ(processes(), 2);
}

TEST_F(RunnerTest, ACrashIsTriedAgain) {
  expect_done_in_two_attempts(run(once("echo the reason >&2; kill -SEGV $$")), "crashed",
                              "was ended by signal 11 (Segmentation fault); it said: \"the reason");
}

TEST_F(RunnerTest, AKillIsExplained) {
  expect_done_in_two_attempts(run(once("kill -KILL $$")), "crashed", "when memory runs out");
}

TEST_F(RunnerTest, AnEndIsACrashWhateverItsStatus) {
  expect_done_in_two_attempts(run(once("exit 0")), "crashed", "ended with status 0");
}

TEST_F(RunnerTest, ACellThatAlwaysCrashesFailsAlone) {
  const Results results = run(always("kill -ABRT $$"));
  const Cell& cell = the_cell(results);
  EXPECT_EQ(cell.status, CellStatus::failed);
  EXPECT_EQ(cell.failure_code, "crashed");
  EXPECT_THAT(cell.failure, HasSubstr("signal 6"));
  EXPECT_EQ(cell.attempts, 2);
  EXPECT_EQ(results.failures.size(), 2u);
  // The next run tries it again.
  EXPECT_EQ(the_cell(run(":")).status, CellStatus::done);
}

TEST_F(RunnerTest, ASilentWorkerIsKilled) {
  silence_s_ = 1;
  expect_done_in_two_attempts(run(once("sleep 1000")), "watchdog", "said nothing for 1 s");
}

TEST_F(RunnerTest, SignsOfLifeKeepAWorkerAlive) {
  silence_s_ = 2;
  const Results results = run(
      once(R"(for i in 1 2 3 4 5 6; do echo '{"say":"beat","text":"denoise"}'; sleep 0.5; done)"));
  EXPECT_EQ(the_cell(results).attempts, 1);
  EXPECT_TRUE(results.failures.empty());
}

TEST_F(RunnerTest, ALostDeviceIsTriedInANewProcess) {
  expect_done_in_two_attempts(run(once(say_failed("device_lost"))), "device_lost", "as told");
}

TEST_F(RunnerTest, MemoryThatRunsOutEndsTheCellAndNothingElse) {
  for (const char* code : {"out_of_memory_host", "out_of_memory_device"}) {
    const Results results = run(always(say_failed(code)));
    const Cell& cell = the_cell(results);
    EXPECT_EQ(cell.status, CellStatus::failed);
    EXPECT_EQ(cell.failure_code, code);
    EXPECT_EQ(cell.failure, "as told");
    EXPECT_EQ(cell.attempts, 1) << "it would run out again";
  }
}

TEST_F(RunnerTest, NonsenseIsACrash) {
  expect_done_in_two_attempts(run(once("echo hello")), "crashed", "answered \"hello\"");
}

TEST_F(RunnerTest, AnAnswerWithoutAnEndIsACrash) {
  expect_done_in_two_attempts(run(once("head -c 80000000 /dev/zero | tr '\\0' x")), "crashed",
                              "does not end");
}

TEST_F(RunnerTest, AnAnswerForAnotherCellIsRefused) {
  expect_done_in_two_attempts(run(once("cat int8dq-1; continue")), "crashed", "something else");
}

TEST_F(RunnerTest, WhatCannotBeLoadedFailsInAllItsCells) {
  const Results results =
      run(":", "if [ $s = int8dq ]; then " + say_failed("unsupported") + "; fi");
  for (size_t i = 0; i < results.cells.size(); ++i) {
    const Cell& cell = results.cells[i];
    EXPECT_EQ(cell.status, i < 2 ? CellStatus::done : CellStatus::failed);
    EXPECT_EQ(cell.failure_code, i < 2 ? "" : "unsupported");
  }
}

TEST_F(RunnerTest, AProgramThatCannotBeStartedFailsEverything) {
  const Results results = run_command({(folder_ / "nowhere").string()});
  for (const Cell& cell : results.cells) {
    EXPECT_EQ(cell.status, CellStatus::failed);
    EXPECT_THAT(cell.failure, HasSubstr("ended with status 127"));
  }
}

TEST_F(RunnerTest, AFullDiskEndsTheRunAndKeepsWhatIsDone) {
  EXPECT_FLUXQ_ERROR(run(always(say_failed("disk_full"))), disk_full, "as told");
  EXPECT_EQ(the_cell(load_results(folder_.path())).status, CellStatus::pending);
  EXPECT_EQ(the_cell(run(":")).status, CellStatus::done);
}

TEST_F(RunnerTest, AnInterruptKeepsWhatIsDone) {
  on_cell_done_ = [&](const Cell& cell) {
    if (cell.key.scheme == "int8dq") cancel_.request();
  };
  EXPECT_FLUXQ_ERROR(run(":"), cancelled, "");
  EXPECT_EQ(the_cell(load_results(folder_.path())).status, CellStatus::pending);
}

}  // namespace
}  // namespace fluxq
