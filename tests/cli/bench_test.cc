/// `fluxq bench` and what reads its runs, as a user runs them, on the bundled model and a tiny
/// plan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/file_lock.h"
#include "base/json.h"
#include "bench/sqlite.h"
#include "bench_run.h"

namespace fluxq::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class BenchCommand : public ::testing::Test {
 protected:
  Outcome bench(std::vector<std::string> arguments = {}, const RunOptions& options = {}) {
    return run_bench(run_, std::move(arguments), options);
  }
  /// A run that is done, copied from one that all tests share.
  void begin_with_a_finished_run() {
    static const TemporaryFolder once;
    static const Outcome outcome = run_bench(once / "run", tiny_plan(once.path()));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    fs::copy(once / "run", run_, fs::copy_options::recursive);
  }

  TemporaryFolder folder_;
  std::string run_ = folder_ / "run";
};

TEST_F(BenchCommand, MeasuresReportsAndFindsNothingLeftToDo) {
  const Outcome first = bench(tiny_plan(folder_.path()));
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_EQ(first.out, run_ + "/report.html\n");
  EXPECT_THAT(first.err, HasSubstr("(4 of 4 cells)"));
  for (const char* file : {"report.html", "report.md", "matrix.csv", "results.json", "progress.md"})
    EXPECT_TRUE(fs::exists(fs::path(run_) / file)) << file;
  EXPECT_FALSE(fs::exists(fs::path(run_) / ".latents"));
  EXPECT_FALSE(fs::exists(fs::path(run_) / "run.lock"));
  EXPECT_THAT(read_bytes(run_ + "/progress.md"), HasSubstr("## Overall Progress: 100%"));
  const std::string stored = read_bytes(run_ + "/results.sqlite");
  const Outcome again = bench({"--json"});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(parse_json(again.out, "stdout")["cells_done"], 4);
  EXPECT_EQ(read_bytes(run_ + "/results.sqlite"), stored);
}

TEST_F(BenchCommand, AnotherPlanIsRefusedUnlessAccepted) {
  begin_with_a_finished_run();
  const std::string stored = read_bytes(run_ + "/results.sqlite");
  const Outcome refused = bench({"--repeats", "3", "--batches", "1"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("repeats: 2 became 3"), HasSubstr("batches: [1,2]"),
                                 HasSubstr("--accept-changes")));
  EXPECT_EQ(read_bytes(run_ + "/results.sqlite"), stored);
  const Outcome accepted = bench({"--batches", "1", "--accept-changes"});
  EXPECT_EQ(accepted.status, 0) << accepted.err;
  EXPECT_THAT(read_bytes(run_ + "/report.md"), HasSubstr("Changed during the run and accepted"));
}

TEST_F(BenchCommand, TwoRunsDoNotShareAFolder) {
  begin_with_a_finished_run();
  const FileLock held(fs::path(run_) / "run.lock");
  const Outcome second = bench();
  EXPECT_EQ(second.status, 12);
  EXPECT_THAT(second.err, HasSubstr(fmt::format("in use by process {}", ::getpid())));
}

TEST_F(BenchCommand, AnInterruptStopsItAndTheNextRunGoesOn) {
  for (const int after_ms : {100, 1000, 2500}) {  // while it plans, measures the machine, works
    // Long enough to be interrupted on any machine.
    const Outcome outcome =
        bench({"--schemes", "f32", "--batches", "8", "--sizes", "512", "--repeats", "200"},
              {.interrupt_after = std::chrono::milliseconds(after_ms)});
    EXPECT_EQ(outcome.status, 130) << outcome.err;
    EXPECT_LT(outcome.stopping, std::chrono::seconds(20));  // 0.3 s, unless the machine is busy
  }
  if (fs::exists(run_ + "/progress.md")) {  // it came as far as that
    EXPECT_THAT(read_bytes(run_ + "/progress.md"), HasSubstr("interrupted"));
  }
}

TEST_F(BenchCommand, AFullDiskEndsTheRunWithASentence) {
  const std::vector<std::string> plan = tiny_plan(folder_.path());
  RunOptions options;
  options.file_size_limit_bytes = 60'000;  // less than the database needs
  const Outcome full = bench(plan, options);
  EXPECT_EQ(full.status, 11) << full.err;
  EXPECT_THAT(full.err, HasSubstr("results.sqlite"));
  const Outcome after = bench(plan);
  EXPECT_EQ(after.status, 0) << after.err;
}

TEST_F(BenchCommand, AFolderThatCannotBeMadeIsSaid) {
  const Outcome outcome = run_bench("/dev/null/run", tiny_plan(folder_.path()));
  EXPECT_EQ(outcome.status, 12) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("cannot make the folder /dev/null/run"));
}

TEST_F(BenchCommand, ADatabaseThatIsNoneOfOursIsRefused) {
  begin_with_a_finished_run();
  const std::string file = run_ + "/results.sqlite", sound = read_bytes(file);
  const auto refused = [&](const std::string& part, int status) {
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"report", run_}, {"recommend", run_}, {"bench", "-o", run_}}) {
      const Outcome outcome = run_fluxq(command);
      EXPECT_EQ(outcome.status, status) << command[0] << ": " << outcome.err;
      EXPECT_THAT(outcome.err, HasSubstr(part)) << command[0];
    }
  };
  const auto write = [&](std::string_view bytes) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
  };
  write(sound.substr(0, sound.size() / 2));
  refused("results.sqlite", 4);
  write("SQLite or not");
  refused("not a database", 4);
  write(sound);
  Database(file, Database::Mode::read).execute("PRAGMA user_version = 99");
  refused("newer fluxq", 5);
}

TEST_F(BenchCommand, AMissingPictureIsAWarningAndIsDrawnAgain) {
  begin_with_a_finished_run();
  const fs::path picture = run_ + "/pictures/int8dq/32x32-p001-s0.png";
  const std::string bytes = read_bytes(picture);
  fs::remove(picture);
  const Outcome report = run_fluxq({"report", run_});
  EXPECT_EQ(report.status, 0) << report.err;
  EXPECT_THAT(report.err, HasSubstr("32x32-p001-s0.png"));
  EXPECT_EQ(bench().status, 0);
  EXPECT_EQ(read_bytes(picture), bytes);
}

TEST_F(BenchCommand, BadPlansGetASentenceAndLeaveNoFolder) {
  std::ofstream(folder_ / "empty.txt") << " \n\n";
  const struct {
    std::vector<std::string> arguments;
    int status;
    std::string part;
  } cases[] = {
      {{"--schemes", "int8"}, 2, "int8dq"},
      {{"--prompts", folder_ / "empty.txt"}, 2, "found none"},
      {{"--prompts", folder_ / "nowhere.txt"}, 3, "nowhere.txt"},
      {{"--plan", folder_ / "nowhere.json"}, 3, "nowhere.json"},
      {{"--batches", "0"}, 2, "batches"},
      {{"--sizes", "100"}, 2, "multiples of 16"},
      {{"--seeds", "0"}, 2, "no cells"},
      {{"--model", folder_ / "no-model"}, 3, "no-model"},
      {{"--device", "tpu"}, 2, "tpu"},
  };
  for (const auto& [arguments, status, part] : cases) {
    const Outcome outcome = bench(arguments);
    EXPECT_EQ(outcome.status, status) << arguments[0] << ": " << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(part));
    EXPECT_FALSE(fs::exists(run_)) << arguments[0];
  }
}

TEST_F(BenchCommand, RecommendTakesItsLimits) {
  begin_with_a_finished_run();
  const Outcome outcome = run_fluxq({"recommend", run_, "--max-quality-loss", "0.001", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(parse_json(outcome.out, "stdout")["scheme"], "bf16");
  EXPECT_EQ(read_bytes(run_ + "/recommendation.json"), outcome.out);
  EXPECT_EQ(run_fluxq({"recommend", run_, "--objective", "beauty"}).status, 2);
  EXPECT_EQ(run_fluxq({"recommend", run_, "--batch", "3"}).status, 2);
  EXPECT_EQ(run_fluxq({"recommend", folder_ / "nowhere"}).status, 3);
}

}  // namespace
}  // namespace fluxq::testing
