/// Fetching from a Hub that behaves.
#include "hub/fetch.h"

#include "base/file_lock.h"
#include "hub/partial_file.h"
#include "hub/testing_fetch.h"

namespace fluxq {
namespace {

using namespace testing;

TEST_F(Fetch, BringsWhatTheModelNeedsInTheLayoutOfTheCache) {
  const FetchResult result = fetch();
  expect_complete(result);
  std::vector<std::string> paths;
  for (const HubFile& file : result.files) paths.push_back(file.path);
  EXPECT_THAT(paths, ::testing::ElementsAre("model_index.json", "scheduler/scheduler_config.json",
                                            "transformer/a.safetensors", "transformer/config.json",
                                            "vae/b.safetensors", "vae/config.json"));
  EXPECT_EQ(result.network_bytes + 2, result.bytes) << "two files have the same contents";
  const std::string hash = TestingHub::hash(kFiles.at("transformer/a.safetensors"));
  EXPECT_EQ(fs::read_symlink(snapshot() / "transformer/a.safetensors"), "../../../blobs/" + hash);
  EXPECT_EQ(list_folder(model() / "../.locks/models--org--name").size(), 0u);
  EXPECT_EQ(cdn_requests("transformer/a.safetensors"), 25u);
  EXPECT_EQ(find_snapshot(hub_paths().cache, {"org/name"}), snapshot());
}

TEST_F(Fetch, TheTokenGoesToTheHubAlone) {
  fetch();
  for (const ServerRequest& request : hub_.requests())
    EXPECT_EQ(request.header("authorization"), "Bearer hf_secret") << request.target;
  ASSERT_FALSE(hub_.cdn_requests().empty());
  for (const ServerRequest& request : hub_.cdn_requests())
    EXPECT_FALSE(request.has("authorization"));
  // One way to the second server is found per file, not per range.
  EXPECT_LT(hub_.requests().size(), 15u);
}

TEST_F(Fetch, UsesWhatIsThere) {
  fetch();
  const size_t before = hub_.requests().size();
  EXPECT_EQ(fetch().network_bytes, 0u);
  EXPECT_EQ(hub_.requests().size(), before + 1) << "the listing alone";
  fs::remove(snapshot() / "vae/config.json");
  fs::resize_file(blob("vae/b.safetensors"), 10);
  EXPECT_EQ(fetch().network_bytes, 1000u);
  expect_complete(fetch());
}

TEST_F(Fetch, OnlyWhatIsNamed) {
  options_.only = {"vae", "README.md", "transformer/a.bin"};
  const FetchResult result = fetch();
  EXPECT_EQ(result.files.size(), 5u);
  EXPECT_EQ(content(snapshot() / "README.md"), "# readme");
  EXPECT_FALSE(fs::exists(snapshot() / "transformer/config.json"));
  options_.only = {"vea"};
  EXPECT_FLUXQ_ERROR(fetch(), bad_argument, "Did you mean \"vae\"?");
}

TEST_F(Fetch, IntoAFolderOfPlainFiles) {
  options_.only = {"vae"};
  fetch();
  options_.only = {};
  options_.to = home_ / "out";
  FetchResult result = fetch();
  EXPECT_EQ(result.path, options_.to);
  EXPECT_EQ(cdn_requests("vae/b.safetensors"), 1u) << "the cache has it";
  for (const HubFile& file : result.files) {
    EXPECT_EQ(content(options_.to / file.path), kFiles.at(file.path));
    EXPECT_FALSE(fs::is_symlink(options_.to / file.path));
  }
  EXPECT_EQ(list_folder(options_.to / "vae").size(), 2u);
  EXPECT_EQ(fetch().network_bytes, 0u);
  write_test_file(options_.to / "vae/b.safetensors", std::string(1000, 'x'));
  write_test_file(blob("vae/b.safetensors"), std::string(1000, 'y'));
  EXPECT_EQ(fetch().network_bytes, 1000u) << "neither file nor cache has the right contents";
  EXPECT_EQ(content(options_.to / "vae/b.safetensors"), kFiles.at("vae/b.safetensors"));
}

TEST_F(Fetch, OfflineTheCacheAnswers) {
  environment_.set("HF_HUB_OFFLINE", "1");
  EXPECT_FLUXQ_ERROR(fetch(), not_found, "HF_HUB_OFFLINE is set");
  environment_.set("HF_HUB_OFFLINE", "0");
  fetch();
  const size_t before = hub_.requests().size();
  environment_.set("HF_HUB_OFFLINE", "1");
  EXPECT_EQ(fetch().path, snapshot());
  EXPECT_EQ(hub_.requests().size(), before);
}

TEST_F(Fetch, GoesOnWhereAnEarlierProcessStopped) {
  int served = 0;
  hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    if (!request.target.starts_with("/transformer") || ++served != 12) return {};
    cancel_.request();
    ServerReply reply = serve(request, kFiles.at("transformer/a.safetensors"), hub_.etag);
    reply.cut_after = 10;
    reply.stall_after_cut = true;
    return reply;
  };
  options_.download.connections = 1;
  EXPECT_FLUXQ_ERROR(fetch(), cancelled, "interrupted");
  expect_absent("transformer/a.safetensors");
  EXPECT_TRUE(fs::exists(partial_path(blob("transformer/a.safetensors"))));
  CancelToken again;
  DownloadProgress progress;
  const FetchResult result = fetch_model(options_, progress, again);
  expect_complete(result);
  EXPECT_LE(cdn_requests("transformer/a.safetensors"), 25u + 2u);
  EXPECT_LT(result.network_bytes, 25'000u);
}

TEST_F(Fetch, AHalfFileFromElsewhereIsHeldToTheHash) {
  // A state file that lies, as after a loss of power.
  const fs::path final_path = blob("transformer/a.safetensors");
  fs::create_directories(final_path.parent_path());
  {
    PartialFile partial(
        final_path, {.bytes = 25'000, .hash = final_path.filename().string(), .chunk_bytes = 1000});
    for (size_t chunk = 0; chunk < 24; ++chunk) partial.mark_done(chunk);
  }
  EXPECT_TRUE(fs::exists(partial_state_path(final_path)));
  expect_complete(fetch());
  EXPECT_EQ(cdn_requests("transformer/a.safetensors"), 1u + 25u);
}

TEST_F(Fetch, AnUnusableStateIsNoObstacle) {
  const fs::path final_path = blob("transformer/a.safetensors");
  fs::create_directories(final_path.parent_path());
  for (const std::string& state :
       {std::string("{"), std::string("{}"), std::string(R"({"format":1,"hash":"x"})"),
        std::string(100, '\xff')}) {
    fs::remove(final_path);
    fs::remove(snapshot() / "transformer/a.safetensors");
    write_test_file(partial_path(final_path), std::string(25'000, 'x'));
    write_test_file(partial_state_path(final_path), state);
    expect_complete(fetch());
  }
}

TEST_F(Fetch, WaitsForAnotherProcessAndTakesItsFile) {
  fs::create_directories(model() / "../.locks/models--org--name");
  fs::create_directories(model() / "blobs");
  const fs::path file = blob("vae/b.safetensors");
  auto lock = std::make_unique<FileLock>(model() / "../.locks/models--org--name" /
                                         (file.filename().string() + ".lock"));
  struct Release : DownloadProgress {
    std::function<void(std::span<const FileProgress>)> act;
    void update(std::span<const FileProgress> files) override { act(files); }
  } progress;
  progress.act = [&](std::span<const FileProgress> files) {
    size_t done = 0;
    for (const FileProgress& one : files) done += one.state == FileProgress::State::done;
    if (!lock || done + 1 < files.size()) return;
    write_test_file(file, kFiles.at("vae/b.safetensors"));
    lock.reset();
  };
  expect_complete(fetch_model(options_, progress, cancel_));
  EXPECT_EQ(cdn_requests("vae/b.safetensors"), 0u);
}

TEST_F(Fetch, ReportsProgressToTheEnd) {
  struct Record : DownloadProgress {
    std::vector<FileProgress> last;
    void update(std::span<const FileProgress> files) override {
      last.assign(files.begin(), files.end());
    }
  } record;
  fetch_model(options_, record, cancel_);
  ASSERT_EQ(record.last.size(), 5u);
  for (const FileProgress& file : record.last) {
    EXPECT_EQ(file.done_bytes, file.bytes) << file.name;
    EXPECT_EQ(file.state, FileProgress::State::done);
  }
}

TEST_F(Fetch, WithoutAnIndexTheFilesMustBeNamed) {
  HubListing listing{.repo = "a/b", .commit = kTestCommit, .files = {{"x.safetensors", 1, ""}}};
  EXPECT_FLUXQ_ERROR(select_files(listing, {}), bad_argument, "--only");
  EXPECT_EQ(select_files(listing, {"x.safetensors"}).size(), 1u);
}

TEST_F(Fetch, BadSettingsAreNamed) {
  environment_.set("HF_ENDPOINT", "hub.example/x y");
  EXPECT_FLUXQ_ERROR(fetch(), bad_argument, "HF_ENDPOINT: expected an http or https URL");
  environment_.set("HF_ENDPOINT", "https://user:secret@hub.example");
  EXPECT_FLUXQ_ERROR(fetch(), bad_argument, "without user and password");
}

TEST_F(Fetch, AReadOnlyCacheServesWhatItHas) {
  fetch();
  fs::permissions(model() / "blobs", fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_EQ(fetch().network_bytes, 0u);
  fs::permissions(model() / "blobs", fs::perms::owner_all);
}

}  // namespace
}  // namespace fluxq
