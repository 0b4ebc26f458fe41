#include "bench/store.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/file.h"
#include "base/file_lock.h"
#include "base/test_support.h"
#include "bench/results_json.h"
#include "bench/testing.h"

namespace fluxq {
namespace {

using namespace testing;

const CellKey kFirst = {"bf16", 1, 64, 64}, kSecond = {"int8dq", 4, 64, 64};

/// All of a Results, to be compared.
Json everything(const Results& results) {
  Json json = {{"environment", to_json(results.environment)},
               {"plan", to_json(results.plan)},
               {"noise_floor", to_string(results.noise_floor)}};
  for (const Cell& cell : results.cells) json["cells"].push_back(to_json(cell));
  for (const PictureResult& picture : results.pictures)
    json["pictures"].push_back(to_json(picture));
  for (const PictureResult& picture : results.seed_change)
    json["seed_change"].push_back(to_json(picture));
  for (const Failure& f : results.failures)
    json["failures"].push_back({to_json(f.key), f.attempt, f.code, f.sentence, f.time});
  for (const AcceptedChange& c : results.accepted_changes)
    json["accepted"].push_back({c.what, c.before, c.after, c.time});
  return json;
}

Results sample_results() {
  Results results{
      .environment = sample_environment(),
      .plan = sample_plan(),
      .noise_floor = NoiseFloor::f32_run,
      .cells = {},
      .pictures = {sample_picture("bf16", 0, 0), sample_picture("bf16", 1, UINT64_MAX),
                   sample_picture("int8dq", 0, 0), sample_picture("f32", 0, 0)},
      .seed_change = {sample_picture("bf16", 0, 1)},
      .failures = {{kSecond, 1, "watchdog", "nothing was heard", "2025-01-02T03:04:05Z"}},
      .accepted_changes = {{"driver", "550.1", "560.2", "2025-01-03T00:00:00Z"}}};
  results.pictures[2].psnr_db = std::numeric_limits<double>::infinity();
  results.pictures[1].has_nan = true;
  results.pictures[1].file = results.pictures[1].sha256 = "";
  for (const CellKey& key : cells_of(results.plan)) results.cells.emplace_back().key = key;
  results.cells[0] = sample_cell(kFirst);
  Cell& failed = results.cells[3];
  failed.status = CellStatus::failed;
  failed.failure_code = "out_of_memory_device";
  failed.failure = "it does not fit";
  failed.attempts = 2;
  return results;
}

void write(const std::filesystem::path& folder, const Results& results) {
  Store store(folder);
  EXPECT_FALSE(store.has_plan());
  store.begin(results.environment, results.plan, results.noise_floor);
  EXPECT_TRUE(store.has_plan());
  for (const Cell& cell : results.cells)
    if (cell.status != CellStatus::pending) store.save(cell);
  // Any order of writing: load() gives the plan's.
  for (auto picture = results.pictures.rbegin(); picture != results.pictures.rend(); ++picture)
    store.save(*picture);
  for (const PictureResult& picture : results.seed_change) store.save_seed_change(picture);
  for (const Failure& failure : results.failures) store.save(failure);
  store.accept(results.accepted_changes, results.environment, results.plan, results.noise_floor);
}

TEST(Store, GivesBackWhatWasWritten) {
  const TempFolder folder;
  const Results results = sample_results();
  write(folder.path(), results);
  EXPECT_EQ(everything(load_results(folder.path())), everything(results));
  EXPECT_EQ(everything(Store(folder.path()).load()), everything(results));
  EXPECT_EQ(list_folder(folder.path()), std::vector<std::string>{"results.sqlite"});
}

TEST(Store, ACellMeasuredAgainReplacesTheFirst) {
  const TempFolder folder;
  write(folder.path(), sample_results());
  Cell cell = sample_cell(kFirst);
  cell.total_ms = {7};
  cell.notes.clear();
  Store(folder.path()).save(cell);
  EXPECT_EQ(to_json(load_results(folder.path()).cells[0]), to_json(cell));
}

TEST(Store, WhatIsNotInThePlanIsNotShown) {
  const TempFolder folder;
  write(folder.path(), sample_results());
  Store store(folder.path());
  Plan plan = sample_plan();
  plan.schemes = {"bf16"};
  plan.prompts.resize(1);
  store.accept({}, sample_environment(), plan, NoiseFloor::none);
  const Results results = store.load();
  EXPECT_EQ(results.cells.size(), 2u);
  ASSERT_EQ(results.pictures.size(), 2u);  // and the f32 one
  EXPECT_EQ(results.pictures[0].scheme, "bf16");
  EXPECT_EQ(results.pictures[1].scheme, "f32");
}

TEST(Store, ForgettingKeepsACopy) {
  const TempFolder folder;
  write(folder.path(), sample_results());
  Store store(folder.path());
  store.forget_pictures(0);
  EXPECT_EQ(store.load().pictures.size(), 1u);
  const std::filesystem::path copy = store.forget_measurements();
  EXPECT_TRUE(store.load().pictures.empty());
  EXPECT_EQ(store.load().cells[0].status, CellStatus::pending);
  const TempFolder other;
  std::filesystem::copy_file(copy, other / "results.sqlite");
  EXPECT_EQ(load_results(other.path()).cells[0].status, CellStatus::done);
}

TEST(Store, RefusesWhatIsNoRun) {
  const TempFolder folder;
  EXPECT_FLUXQ_ERROR(load_results(folder / "nowhere"), not_found, "found none");
  EXPECT_FLUXQ_ERROR(load_results(folder.path()), not_found, "found none");
  const std::filesystem::path file = folder / "results.sqlite";
  write_test_file(file, "");  // what a kill right after the creation leaves
  EXPECT_FLUXQ_ERROR(load_results(folder.path()), not_found, "found none");
  EXPECT_FALSE(Store(folder.path()).has_plan());  // taken over
  EXPECT_FLUXQ_ERROR(load_results(folder.path()), not_found, "found none");

  write_test_file(file, std::string(100'000, 'x'));
  EXPECT_FLUXQ_ERROR(load_results(folder.path()), corrupt_file, "not a database");
  EXPECT_FLUXQ_ERROR(Store(folder.path()), corrupt_file, "not a database");
  std::filesystem::remove(file);
  Database(file, Database::Mode::create).execute("CREATE TABLE cells(id INTEGER)");
  EXPECT_FLUXQ_ERROR(load_results(folder.path()), corrupt_file, "another database");
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  EXPECT_FLUXQ_ERROR(load_results(folder.path()), bad_argument, "expected a file");
}

TEST(Store, RefusesOtherVersionsAndTables) {
  const TempFolder folder;
  write(folder.path(), sample_results());
  const Database database(folder / "results.sqlite", Database::Mode::read);
  database.execute("PRAGMA user_version = 99");
  EXPECT_FLUXQ_ERROR(load_results(folder.path()), unsupported, "newer fluxq");
  database.execute("PRAGMA user_version = 1; CREATE VIEW extra AS SELECT 1");
  EXPECT_FLUXQ_ERROR(load_results(folder.path()), corrupt_file, "expected the tables");
  database.execute("DROP VIEW extra; DROP TABLE drift");
  EXPECT_FLUXQ_ERROR(load_results(folder.path()), corrupt_file, "expected the tables");
}

TEST(Store, RefusesImpossibleValues) {
  const TempFolder folder;
  write(folder.path(), sample_results());
  std::filesystem::rename(folder / "results.sqlite", folder / "sound");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"UPDATE cells SET status = 'great'", "expected done or failed"},
      {"UPDATE cells SET batch = 0 WHERE id = 1", "batch: expected an integer from 1"},
      {"UPDATE cells SET width = 99999999999", "width: expected an integer"},
      {"UPDATE cells SET load_ms = -1", "load_ms: expected a number not below 0"},
      {"UPDATE samples SET ms = 9e999", "ms: expected a number not below 0"},
      {"UPDATE samples SET stage = 'lunch' WHERE stage = 'vae'", "an unknown stage"},
      {"UPDATE memory SET host_peak_bytes = -5", "host_peak_bytes: expected an integer"},
      {"UPDATE pictures SET file = '../../etc/passwd'", "a path inside the run"},
      {"UPDATE pictures SET file = '/etc/passwd'", "a path inside the run"},
      {"UPDATE pictures SET black = 2", "black: expected an integer from 0 to 1"},
      {"UPDATE pictures SET scheme = CAST(x'ff' AS TEXT) WHERE id = 1", "a text in UTF-8"},
      {"UPDATE plan SET value = '{' WHERE key = 'steps'", "plan"},
      {"UPDATE plan SET value = '-1' WHERE key = 'steps'", "steps"},
      {"UPDATE plan SET value = '[[1]]' WHERE key = 'sizes'", "[width, height]"},
      {"UPDATE plan SET value = '\"all\"' WHERE key = 'noise_floor'", "noise_floor"},
      {"DELETE FROM environment WHERE key = 'isa'", "isa"},
      {"UPDATE environment SET value = '{\"bf16\":\"fast\"}' WHERE key = 'ceiling_flops'", "bf16"},
  };
  for (const auto& [change, part] : cases) {
    SCOPED_TRACE(change);
    std::filesystem::remove(folder / "results.sqlite");
    std::filesystem::copy_file(folder / "sound", folder / "results.sqlite");
    Database(folder / "results.sqlite", Database::Mode::read).execute(change);
    EXPECT_FLUXQ_ERROR(load_results(folder.path()), corrupt_file, part);
  }
}

TEST(Store, ATornFileIsAnErrorWhereverItIsTorn) {
  const TempFolder folder;
  write(folder.path(), sample_results());
  const std::filesystem::path file = folder / "results.sqlite";
  const std::string whole = read_text_file(file, 1 << 24);
  const Json expected = everything(load_results(folder.path()));
  int refused = 0;
  for (size_t size = 1; size < whole.size(); size += 1777) {
    write_test_file(file, whole.substr(0, size));
    EXPECT_THROW(load_results(folder.path()), Error) << size;
  }
  for (size_t at = 0; at < whole.size(); at += 499) {
    std::string bytes = whole;
    for (size_t i = at; i < std::min(at + 64, bytes.size()); ++i)
      bytes[i] = static_cast<char>(0xA5);
    write_test_file(file, bytes);
    try {
      // A page's free space may change unseen; nothing else may.
      load_results(folder.path());
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 10);
}

// Of which SQLite says that memory ran out.
TEST(Store, ARecordOfImpossibleSizeIsADamagedFile) {
  std::string bytes = read_text_file(FLUXQ_SOURCE_DIR "/fuzz/corpus/results/run", 1 << 20);
  // The schema's record of a table: its size in two bytes, its number, its header, its text.
  const size_t text = bytes.find("tablememorymemory");
  ASSERT_NE(text, std::string::npos);
  bytes.replace(text - 9, 8, 8, '\xFF');  // the rest of a size of nine bytes
  const TempFolder folder;
  write_test_file(folder / "results.sqlite", bytes);
  EXPECT_FLUXQ_ERROR(load_results(folder.path()), corrupt_file, "a size in it cannot be");
}

TEST(Store, AFullDiskIsSaidAndLosesNothing) {
  const TempFolder folder;
  write(folder.path(), sample_results());
  Store store(folder.path());
  const Json before = everything(store.load());
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old = {};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small = {std::filesystem::file_size(folder / "results.sqlite"), old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  Cell cell = sample_cell(kSecond);
  cell.step_ms.assign(10'000, 1.5);
  EXPECT_FLUXQ_ERROR(store.save(cell), disk_full, "results.sqlite");
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(everything(load_results(folder.path())), before);
  store.save(cell);
  EXPECT_EQ(load_results(folder.path()).cells[3].step_ms.size(), 10'000u);
}

/// For as long as it lives, a user who may not write where others have not allowed it.
class Nobody {
 public:
  Nobody() {
    if (was_ == 0 && ::seteuid(65534) != 0) throw std::runtime_error("seteuid");
  }
  ~Nobody() {
    if (::seteuid(was_) != 0) std::abort();
  }

 private:
  uid_t was_ = ::geteuid();
};

TEST(Store, AReadOnlyFolderCanBeReadButNotWritten) {
  const TempFolder folder;
  write(folder.path(), sample_results());
  ::chmod((folder / "results.sqlite").c_str(), 0444);
  ::chmod(folder.path().c_str(), 0555);
  {
    const Nobody nobody;
    EXPECT_EQ(everything(load_results(folder.path())), everything(sample_results()));
    Store store(folder.path());
    EXPECT_FLUXQ_ERROR(store.save(sample_cell(kFirst)), io, "results.sqlite");
    EXPECT_FLUXQ_ERROR(FileLock(folder / "run.lock"), io, "run.lock");
  }
  ::chmod(folder.path().c_str(), 0755);
}

}  // namespace
}  // namespace fluxq
