/// The long commands' work with memory that runs out and disks that fail at one point after the
/// other: it ends with the documented error, and nothing is half-written. A sample of all points,
/// every one of them if FLUXQ_ALL_FAULTS is set (hours), or the one that FLUXQ_FAULT names
/// (and then from where it came).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <optional>
#include <set>

#include "base/test_support.h"
#include "bench/bench.h"
#include "bench/testing.h"
#include "checkpoint/tensor_store.h"
#include "faults.h"
#include "fluxq/engine.h"
#include "hub/cache_items.h"
#include "hub/fetch.h"
#include "hub/testing.h"
#include "hub/testing_hub.h"
#include "hub/verify.h"
#include "pipeline/model_recipe.h"
#include "pipeline/quantize.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;
using faults::Kind;

/// The longest that one attempt may take: memory that is short must not make a thread wait for
/// another one that has gone.
constexpr unsigned kSecondsPerAttempt = 120;

const std::string kModel = FLUXQ_SOURCE_DIR "/models/emoji-flux";

/// How an attempt ended. Holds no memory.
struct Outcome {
  bool succeeded = false;
  bool bad_alloc = false;
  std::optional<ErrorCode> code;
  uint64_t calls = 0;

  bool is_documented(Kind kind, bool uses_database) const {
    if (succeeded) return true;  // the failure was of something that could be done without
    if (kind == Kind::allocation) return bad_alloc || code == ErrorCode::out_of_memory_host;
    // What the disk cannot read of a database, SQLite calls corrupt.
    return code == ErrorCode::io || code == ErrorCode::disk_full ||
           (uses_database && code == ErrorCode::corrupt_file);
  }
};

template <typename Work>
Outcome attempt(Kind kind, uint64_t first, bool lasting, bool uses_database, const Work& work) {
  Outcome outcome;
  std::string message;
  message.reserve(4096);
  ::alarm(kSecondsPerAttempt);
  faults::arm(kind, first, lasting);
  try {
    work();
    outcome.succeeded = true;
  } catch (const Error& error) {
    outcome.code = error.code();
    message.assign(error.what(), std::min<size_t>(std::strlen(error.what()), 4000));
  } catch (const std::bad_alloc&) {
    outcome.bad_alloc = true;
  } catch (const std::exception& error) {
    message.assign(error.what(), std::min<size_t>(std::strlen(error.what()), 4000));
  }
  outcome.calls = faults::disarm();
  ::alarm(0);
  EXPECT_TRUE(outcome.is_documented(kind, uses_database))
      << (outcome.code ? error_info(*outcome.code).name : "another exception") << ": " << message;
  return outcome;
}

/// The numbers of the calls to let fail: `samples` of `total`, the first ones among them.
std::set<uint64_t> points(uint64_t total, uint64_t samples) {
  std::set<uint64_t> chosen;
  if (const char* one = std::getenv("FLUXQ_FAULT")) return {std::strtoull(one, nullptr, 10)};
  if (std::getenv("FLUXQ_ALL_FAULTS")) samples = total;
  for (uint64_t i = 0; i < samples; ++i) chosen.insert(1 + i * total / samples);
  for (uint64_t i = 1; i <= std::min<uint64_t>(samples / 4, total); ++i) chosen.insert(i);
  return chosen;
}

/// Something to do in a folder of its own, and what must be true of the folder afterwards.
struct Scenario {
  std::function<void(const fs::path& folder)> work;
  /// `lasting`: cleaning up failed, too.
  std::function<void(const fs::path& folder, const Outcome& outcome, bool lasting)> check;
  bool uses_database = false;
  /// What is there before anything fails.
  std::function<void(const fs::path& folder)> prepare = [](const fs::path&) {};
};

void try_all(Kind kind, uint64_t samples, const Scenario& scenario) {
  uint64_t total = 0;
  {
    const TempFolder folder;  // nothing fails: how many calls are there?
    scenario.prepare(folder.path());
    const Outcome outcome =
        attempt(kind, ~uint64_t{0}, false, false, [&] { scenario.work(folder.path()); });
    ASSERT_TRUE(outcome.succeeded);
    total = outcome.calls;
    ASSERT_GT(total, 5u) << "nothing was counted";
  }
  int failures = 0;
  for (const bool lasting : {false, true}) {
    for (const uint64_t point : points(total, samples)) {
      SCOPED_TRACE(
          fmt::format("call {} of {}{}", point, total, lasting ? " and all after it" : ""));
      const TempFolder folder;
      scenario.prepare(folder.path());
      const Outcome outcome = attempt(kind, point, lasting, scenario.uses_database,
                                      [&] { scenario.work(folder.path()); });
      failures += !outcome.succeeded;
      scenario.check(folder.path(), outcome, lasting);
      if (::testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(failures, 0) << "no failure was noticed";
}

const CancelToken kNoCancel;
Progress silent;

Scenario load_and_generate() {
  return {.work =
              [](const fs::path&) {
                Engine engine({.model = kModel, .scheme = "int8dq", .threads = 2});
                engine.generate({.prompt = "red apple", .steps = 1, .width = 64, .height = 64});
              },
          .check = [](const fs::path& folder, const Outcome&,
                      bool) { EXPECT_TRUE(fs::is_empty(folder)); }};
}

Scenario quantize() {
  return {.work =
              [](const fs::path& folder) {
                const ModelFolder model = read_model_folder(kModel, silent);
                quantize_folder(model, choose_recipe(model, "int4wo", ""), folder / "out", silent,
                                kNoCancel);
              },
          .check =
              [](const fs::path& folder, const Outcome& outcome, bool lasting) {
                const bool is_there = fs::exists(folder / "out");
                EXPECT_TRUE(is_there || !outcome.succeeded);
                if (is_there) {  // whatever was said: what has the name is complete
                  const ModelFolder model = read_model_folder(folder / "out", silent);
                  EXPECT_EQ(choose_recipe(model, "", "").main().info().name, "int4wo");
                  const TensorStore store(folder / "out/transformer");
                }
                EXPECT_TRUE(lasting || is_there || fs::is_empty(folder));
              }};
}

/// What a run writes, without measuring. The cells that were stored when it ended are known by the
/// count, which outlives a failure.
Scenario store_results() {
  static size_t stored = 0;
  return {.work =
              [](const fs::path& folder) {
                stored = 0;
                const Plan plan = testing::sample_plan();
                Store store(folder);
                store.begin(testing::sample_environment(), plan, NoiseFloor::none);
                for (const CellKey& key : cells_of(plan)) {
                  store.save(testing::sample_cell(key));
                  ++stored;
                }
                store.save(testing::sample_picture("int8dq", 0, 0));
                store.load();
              },
          .check =
              [](const fs::path& folder, const Outcome& outcome, bool) {
                const Store store(folder);  // goes on with what is there
                if (!store.has_plan()) {
                  EXPECT_EQ(stored, 0u);
                  return;
                }
                const Results results = store.load();
                size_t done = 0;
                for (const Cell& cell : results.cells) done += cell.status == CellStatus::done;
                EXPECT_GE(done, stored);      // what was said to be stored is,
                EXPECT_LE(done, stored + 1);  // and at most what was being stored besides
                EXPECT_TRUE(results.pictures.size() == 1 || !outcome.succeeded);
              },
          .uses_database = true};
}

void bench_in(const fs::path& folder) {
  BenchOptions options;
  options.run_folder = folder / "run";
  options.plan.model = kModel;
  options.plan.schemes = {{"bf16"}};
  options.plan.batches = {{1}};
  options.plan.sizes = {{{64, 64}}};
  options.plan.steps = 1;
  options.plan.prompts = {{"red apple"}};
  options.plan.seeds = {{0}};
  options.plan.warmups = 0;
  options.plan.repeats = 1;
  options.threads = 1;
  options.worker_command = {FLUXQ_PROGRAM, "bench-worker"};
  RunWatcher watcher;
  const Results results = run_bench(options, watcher, silent, kNoCancel);
  if (results.cells.at(0).status != CellStatus::done)
    fail(ErrorCode::io, "the cell was not measured");
}

Scenario bench() {
  return {.work = bench_in,
          .check =
              [](const fs::path& folder, const Outcome&, bool) {
                bench_in(folder);  // goes on, and ends
                EXPECT_FALSE(fs::exists(folder / "run/run.lock"));
              },
          .uses_database = true};
}

/// A Hub in a process of its own, whose memory does not run out.
class ForkedHub {
 public:
  ForkedHub() {
    std::array<int, 2> pipe = {};
    if (::pipe(pipe.data()) != 0) throw std::runtime_error("pipe");
    child_ = ::fork();
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const testing::TestingHub hub(files());
      const std::string url = hub.url();
      if (::write(pipe[1], url.data(), url.size()) < 0) ::_exit(1);
      ::close(pipe[1]);
      for (;;) ::pause();
    }
    ::close(pipe[1]);
    std::array<char, 200> text = {};
    const ssize_t count = ::read(pipe[0], text.data(), text.size());
    ::close(pipe[0]);
    if (count > 0) url_.assign(text.data(), static_cast<size_t>(count));
  }
  ~ForkedHub() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  ForkedHub(const ForkedHub&) = delete;
  ForkedHub& operator=(const ForkedHub&) = delete;

  const std::string& url() const { return url_; }

  static std::map<std::string, std::string> files() {
    return {{"model_index.json", R"({"_class_name": "FluxPipeline"})"},
            {"vae/config.json", "{}"},
            {"transformer/a.safetensors", std::string(200'000, 'a')},
            {"vae/b.safetensors", std::string(50'000, 'b')}};
  }

 private:
  pid_t child_ = -1;
  std::string url_;
};

void fetch_into(const fs::path& folder) {
  DownloadProgress progress;
  fetch_model({.name = {.repo = "org/name"},
               .only = {"transformer", "vae"},
               .to = folder / "model",
               .download = {.connections = 2, .chunk_bytes = 64'000, .http = {.attempts = 1}}},
              progress, kNoCancel);
}

Scenario fetch() {
  return {.work = fetch_into, .check = [](const fs::path& folder, const Outcome& outcome, bool) {
            for (const auto& [path, content] : ForkedHub::files()) {
              const fs::path file = folder / "model" / path;
              const bool is_there = fs::exists(file);
              EXPECT_TRUE(is_there || !outcome.succeeded);
              // What has the name is complete.
              if (is_there) {
                EXPECT_EQ(read_text_file(file, 1 << 20), content);
              }
            }
            fetch_into(folder);  // goes on, and ends
          }};
}

CacheItem cached_model() {
  const std::vector<CacheItem> items = find_items(CacheKind::hub, {}, kNoCancel);
  if (items.size() != 1) fail(ErrorCode::io, "expected one model in the cache");
  return items[0];
}

Scenario verify_and_clean() {
  return {.work =
              [](const fs::path&) {
                const CacheItem item = cached_model();
                const Verification result = verify_model(item.path, silent, kNoCancel);
                // What cannot be read of a reference is a fault of the model.
                if (!result.faults.empty()) fail(ErrorCode::io, "{}", result.faults[0].sentence);
                remove_item(item, kNoCancel);
              },
          .check =
              [](const fs::path& folder, const Outcome& outcome, bool) {
                EXPECT_TRUE(fs::exists(folder / "precious"));
                const fs::path model = folder / "models--org--name";
                if (outcome.succeeded) {
                  EXPECT_FALSE(fs::exists(model));
                }
                if (fs::exists(model)) remove_item(cached_model(), kNoCancel);  // goes on
                EXPECT_FALSE(fs::exists(model));
              },
          .prepare =
              [](const fs::path& folder) {
                ::setenv("HF_HUB_CACHE", folder.c_str(), 1);
                write_test_file(folder / "precious", "x");
                fs::create_directory_symlink(folder, folder / "models--org--link");
                const fs::path model = folder / "models--org--name";
                const fs::path snapshot = model / "snapshots" / testing::kTestCommit;
                fs::create_directories(snapshot / "vae");
                fs::create_directories(model / "blobs");
                fs::create_directories(model / "refs");
                write_test_file(model / "refs/main", testing::kTestCommit);
                for (const auto& [path, content] : ForkedHub::files()) {
                  const fs::path blob = model / "blobs" / testing::TestingHub::hash(content);
                  write_test_file(blob, content);
                  fs::create_directories((snapshot / path).parent_path());
                  fs::create_symlink(blob, snapshot / path);
                }
              }};
}

class CacheFaults : public ::testing::Test {
 protected:
  TempFolder home_;
  testing::HubEnvironment environment_{home_.path().string()};
};

class FetchFaults : public ::testing::Test {
 protected:
  FetchFaults() : environment_(home_.path().string()) {
    environment_.set("HF_ENDPOINT", hub_.url());
  }

  ForkedHub hub_;
  TempFolder home_;
  testing::HubEnvironment environment_;
};

TEST_F(FetchFaults, Allocations) { try_all(Kind::allocation, 20, fetch()); }
TEST_F(FetchFaults, Files) { try_all(Kind::file, 20, fetch()); }
TEST_F(CacheFaults, Allocations) { try_all(Kind::allocation, 40, verify_and_clean()); }
TEST_F(CacheFaults, Files) { try_all(Kind::file, 40, verify_and_clean()); }
TEST(LoadFaults, Allocations) { try_all(Kind::allocation, 24, load_and_generate()); }
TEST(LoadFaults, Files) { try_all(Kind::file, 24, load_and_generate()); }
TEST(QuantizeFaults, Allocations) { try_all(Kind::allocation, 12, quantize()); }
TEST(QuantizeFaults, Files) { try_all(Kind::file, 16, quantize()); }
TEST(StoreFaults, Allocations) { try_all(Kind::allocation, 40, store_results()); }
TEST(StoreFaults, Files) { try_all(Kind::file, 40, store_results()); }
TEST(BenchFaults, Allocations) { try_all(Kind::allocation, 4, bench()); }
TEST(BenchFaults, Files) { try_all(Kind::file, 4, bench()); }

}  // namespace
}  // namespace fluxq
