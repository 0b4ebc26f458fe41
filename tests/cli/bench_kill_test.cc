/// A benchmark that is killed at any moment, many times, ends in the results of one that was not.
/// FLUXQ_KILL_ROUNDS says how often (20).
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "bench/results_json.h"
#include "bench/store.h"
#include "bench_run.h"

namespace fluxq::testing {
namespace {

constexpr int kSigkill = 9;

/// All of a run but what a clock or the machine's use of memory decides.
Json without_times(const Results& results) {
  Json json = {{"plan", to_json(results.plan)}, {"failures", results.failures.size()}};
  for (const Cell& cell : results.cells)
    json["cells"].push_back({{"key", to_json(cell.key)},
                             {"status", to_string(cell.status)},
                             {"attempts", cell.attempts},
                             {"repeats", cell.total_ms.size()},
                             {"steps", cell.step_ms.size()},
                             {"phases", cell.memory.size()},
                             {"part_bytes", cell.part_bytes},
                             {"flops", cell.flops}});
  for (const PictureResult& picture : results.pictures)
    json["pictures"].push_back(to_json(picture));  // with the hash of its file
  for (const PictureResult& picture : results.seed_change)
    json["seed_change"].push_back(to_json(picture));
  return json;
}

/// What a report says without figures of time: its files, and its pictures' figures.
Json report_without_times(const std::filesystem::path& run) {
  const Json json = parse_json(read_bytes(run / "results.json"), "results.json");
  Json kept = {{"cells", json["cells"].size()}, {"quality", json["quality"]}};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(run))
    kept["files"].push_back(std::filesystem::relative(entry.path(), run).string());
  std::sort(kept["files"].begin(), kept["files"].end());
  return kept;
}

/// A run of which nothing may be lost from one look to the next.
class Watched {
 public:
  explicit Watched(std::string run) : run_(std::move(run)) {}

  void look() {
    Results results;
    try {
      results = load_results(run_);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::not_found) throw;  // killed before it began
      EXPECT_TRUE(cells_.empty());
      return;
    }
    std::map<std::string, Json> cells, pictures;
    for (const Cell& cell : results.cells)
      if (cell.status == CellStatus::done) cells[to_json(cell.key).dump()] = to_json(cell);
    for (const PictureResult& picture : results.pictures) pictures[picture.file] = to_json(picture);
    // Pictures may be drawn again, for their latents; they are then the same ones.
    for (const auto& [key, cell] : cells_) EXPECT_EQ(cells[key], cell) << key;
    for (const auto& [file, picture] : pictures_) EXPECT_EQ(pictures[file], picture) << file;
    cells_ = cells;
    pictures_ = pictures;
  }

 private:
  std::string run_;
  std::map<std::string, Json> cells_, pictures_;  // done at the last look
};

TEST(BenchKill, AnyNumberOfKillsEndsInTheSameRun) {
  const char* asked = std::getenv("FLUXQ_KILL_ROUNDS");
  const int rounds = asked ? std::atoi(asked) : 20;
  const TemporaryFolder folder;
  const std::vector<std::string> plan = tiny_plan(folder.path());

  const std::string whole = folder / "whole";
  const auto begun = std::chrono::steady_clock::now();
  const Outcome outcome = run_bench(whole, plan);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::chrono::duration<double, std::milli> whole_ms =
      std::chrono::steady_clock::now() - begun;
  const Json expected = without_times(load_results(whole));
  const Json expected_report = report_without_times(whole);

  std::mt19937 random(1);
  std::uniform_real_distribution<double> moment(0, whole_ms.count() / 2);
  int kills = 0, ended = 0;
  for (int run = 0; kills < rounds || ended == 0; ++run) {
    SCOPED_TRACE(run);
    const std::string name = folder / ("run" + std::to_string(run));
    Watched watched(name);
    Outcome last = {.status = 1000 + kSigkill, .out = "", .err = ""};
    while (last.status == 1000 + kSigkill) {
      RunOptions options{.signal = kSigkill};
      if (kills < rounds) options.interrupt_after = std::chrono::milliseconds(int(moment(random)));
      last = run_bench(name, plan, options);
      kills += last.status == 1000 + kSigkill;
      watched.look();
    }
    ASSERT_EQ(last.status, 0) << last.err;
    ++ended;
    EXPECT_EQ(without_times(load_results(name)), expected);
    EXPECT_EQ(report_without_times(name), expected_report);
    if (HasFailure()) return;
  }
  RecordProperty("kills", kills);
  RecordProperty("runs", ended);
  std::printf("%d kills, %d runs ended in the same results\n", kills, ended);
}

}  // namespace
}  // namespace fluxq::testing
