/// Fetching from a Hub that behaves, and from one that does not.
#include "hub/fetch.h"

#include <sys/stat.h>

#include "base/file_lock.h"
#include "base/test_support.h"
#include "hub/partial_file.h"
#include "hub/testing.h"
#include "hub/testing_hub.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;
using namespace testing;
using ::testing::HasSubstr;
using ::testing::Not;

std::string noise(size_t bytes, unsigned seed) {
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return text;
}

const std::map<std::string, std::string> kFiles = {
    {"README.md", "# readme"},
    {"flux1-schnell.safetensors", noise(5000, 9)},
    {"model_index.json", R"({"_class_name": "FluxPipeline"})"},
    {"scheduler/scheduler_config.json", "{}"},
    {"transformer/config.json", R"({"heads": 2})"},
    {"transformer/a.safetensors", noise(25'000, 1)},
    {"transformer/a.bin", noise(2000, 2)},
    {"vae/config.json", "{}"},
    {"vae/b.safetensors", noise(1000, 3)},
};

class Fetch : public ::testing::Test {
 protected:
  Fetch() : hub_(kFiles), environment_(home_.path().string()) {
    environment_.set("HF_ENDPOINT", hub_.url() + "/");
    environment_.set("HF_TOKEN", "hf_secret");
    options_.name.repo = "org/name";
    options_.download.connections = 3;
    options_.download.chunk_bytes = 1000;
    options_.download.http.first_wait_ms = 1;
    options_.download.http.sleep = [](int64_t) {};
  }

  FetchResult fetch() {
    DownloadProgress progress;
    return fetch_model(options_, progress, cancel_);
  }

  static std::string content(const fs::path& file) { return read_text_file(file, 1 << 20); }
  fs::path model() const { return home_ / ".cache/huggingface/hub/models--org--name"; }
  fs::path snapshot() const { return model() / "snapshots" / kTestCommit; }
  fs::path blob(const std::string& path) const {
    return model() / "blobs" / TestingHub::hash(kFiles.at(path));
  }
  size_t cdn_requests(const std::string& path) const {
    size_t count = 0;
    for (const ServerRequest& request : hub_.cdn_requests())
      count += request.target.starts_with("/" + path + "?");
    return count;
  }

  /// All that was asked for is there with the right contents, and nothing else.
  void expect_complete(const FetchResult& result) {
    EXPECT_EQ(result.path, snapshot());
    for (const HubFile& file : result.files)
      EXPECT_EQ(content(snapshot() / file.path), kFiles.at(file.path)) << file.path;
    for (const std::string& name : list_folder(model() / "blobs"))
      EXPECT_EQ(name.find("incomplete"), std::string::npos) << name;
    EXPECT_EQ(content(model() / "refs/main"), kTestCommit);
  }

  /// Nothing of `path` was published.
  void expect_absent(const std::string& path) {
    EXPECT_FALSE(fs::exists(blob(path)));
    EXPECT_FALSE(fs::exists(fs::symlink_status(snapshot() / path)));
    EXPECT_FALSE(fs::exists(model() / "refs/main"));
  }

  TempFolder home_;
  TestingHub hub_;
  HubEnvironment environment_;
  FetchOptions options_;
  CancelToken cancel_;
};

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

// From here on the servers misbehave.

TEST_F(Fetch, CutConnectionsAreTakenUpAgain) {
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    if (++count % 3 != 0) return {};
    ServerReply reply = serve(request, kFiles.at("transformer/a.safetensors"), hub_.etag);
    reply.cut_after = 300;
    return request.target.starts_with("/transformer") ? std::optional(reply) : std::nullopt;
  };
  const FetchResult result = fetch();
  expect_complete(result);
  EXPECT_EQ(result.network_bytes + 2, result.bytes) << "no byte came twice";
}

TEST_F(Fetch, AConnectionThatStallsIsGivenUp) {
  options_.download.http.window_ms = 100;
  options_.download.http.min_bytes_per_window = 10;
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    if (count++ > 0) return {};
    ServerReply reply = serve(request, kFiles.at("transformer/a.safetensors"), hub_.etag);
    reply.cut_after = 10;
    reply.stall_after_cut = true;
    return reply;
  };
  options_.only = {"transformer"};
  expect_complete(fetch());
}

TEST_F(Fetch, AServerWithoutRangesServesWholeFiles) {
  hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    const std::string path = request.target.substr(1, request.target.find('?') - 1);
    return ServerReply{.headers = {"ETag: " + hub_.etag}, .body = kFiles.at(path)};
  };
  expect_complete(fetch());
}

TEST_F(Fetch, ARangeOfOtherBytesIsNotTaken) {
  for (const std::string range : {"bytes 0-999/25000", "bytes 7-8/*", "garbage", ""}) {
    fs::remove_all(model());
    hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
      if (!request.has("range")) return {};
      return ServerReply{
          .status = 206, .headers = {"Content-Range: " + range}, .body = std::string(1000, 'x')};
    };
    options_.only = {"transformer"};
    expect_complete(fetch());
  }
}

TEST_F(Fetch, WrongLengthsAreRefused) {
  options_.only = {"transformer"};
  for (const std::string& body : {noise(24'999, 1), noise(25'001, 1), std::string()}) {
    hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
      return serve(request, body, hub_.etag);
    };
    EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, "expected 25000 bytes");
    expect_absent("transformer/a.safetensors");
  }
}

TEST_F(Fetch, ALengthThatLiesIsRefused) {
  options_.only = {"vae"};
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    return ServerReply{.body = kFiles.at("vae/b.safetensors"), .length_lie = 1};
  };
  EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, "expected 1000 bytes, got a file of 1001");
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    return ServerReply{.raw = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + noise(1500, 3)};
  };
  EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, "expected 1000 bytes, got more");
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    return ServerReply{.raw = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + noise(999, 3)};
  };
  EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, "expected 1000 bytes, got 999");
  expect_absent("vae/b.safetensors");
}

TEST_F(Fetch, WrongContentsAreNeverPublished) {
  for (const std::string path : {"transformer/a.safetensors", "vae/b.safetensors"}) {
    hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
      std::string wrong = kFiles.at(path);
      wrong[500] ^= 1;
      return serve(request, wrong, hub_.etag);
    };
    options_.only = {path};
    EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, path + ": expected SHA-256");
    expect_absent(path);
    for (const std::string& name : list_folder(model() / "blobs"))
      EXPECT_EQ(name.find("incomplete"), std::string::npos) << name;
  }
  hub_.on_hub = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    if (!request.target.ends_with("/vae/config.json")) return {};
    return ServerReply{.body = "[]"};
  };
  options_.only = {"vae/config.json"};
  EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, "vae/config.json: expected git SHA-1");
  expect_absent("vae/config.json");
}

TEST_F(Fetch, AChangedEtagStartsTheFileAnew) {
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    if (++count == 5) hub_.etag = "\"v2\"";
    return {};
  };
  options_.only = {"transformer"};
  expect_complete(fetch());
  // A server that names each answer anew: the hash decides.
  fs::remove_all(model());
  hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    hub_.etag = fmt::format("\"{}\"", ++count);
    ServerRequest plain = request;
    plain.headers.erase("if-range");
    return serve(plain, kFiles.at("transformer/a.safetensors"), hub_.etag);
  };
  expect_complete(fetch());
}

TEST_F(Fetch, ARangeBeyondTheFileStartsItAnew) {
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    if (++count == 3) return ServerReply{.status = 416};
    return {};
  };
  options_.only = {"transformer"};
  expect_complete(fetch());
}

TEST_F(Fetch, AnExpiredLinkIsAskedForAgain) {
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    if (++count == 6) return ServerReply{.status = 403, .body = "<Error>AccessDenied</Error>"};
    return {};
  };
  options_.only = {"transformer"};
  expect_complete(fetch());
  size_t resolved = 0;
  for (const ServerRequest& request : hub_.requests())
    resolved += request.target.ends_with("a.safetensors");
  EXPECT_GE(resolved, 2u);
  fs::remove_all(model());
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    return ServerReply{.status = 403};
  };
  EXPECT_FLUXQ_ERROR(fetch(), network, "transformer/a.safetensors: 6 attempts failed");
}

TEST_F(Fetch, WaitsAsLongAsTheServerAsks) {
  std::vector<int64_t> waits_ms;
  options_.download.connections = 1;
  options_.download.http.sleep = [&](int64_t ms) { waits_ms.push_back(ms); };
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    if (++count == 2) return ServerReply{.status = 429, .headers = {"Retry-After: 3"}};
    if (count == 4) return ServerReply{.status = 503};
    return {};
  };
  options_.only = {"transformer"};
  expect_complete(fetch());
  EXPECT_THAT(waits_ms, ::testing::ElementsAre(3000, 1));
}

TEST_F(Fetch, CompressedBodiesAreRefused) {
  hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    ServerReply reply = serve(request, kFiles.at("vae/b.safetensors"), hub_.etag);
    reply.headers.push_back("Content-Encoding: gzip");
    return reply;
  };
  options_.only = {"vae"};
  EXPECT_FLUXQ_ERROR(fetch(), network, "\"gzip\" encoding");
  expect_absent("vae/b.safetensors");
}

TEST_F(Fetch, RefusedAccessIsExplained) {
  struct Case {
    int status;
    std::string code, message;
    bool with_token;
    ErrorCode error;
    std::string sentence;
  };
  const std::vector<Case> cases = {
      {401, "GatedRepo", "", false, ErrorCode::network,
       "is gated: accept its licence at " + hub_.url() + "/org/name"},
      {403, "GatedRepo", "", true, ErrorCode::network,
       "the account of your token has no access to it"},
      {401, "RepoNotFound", "", false, ErrorCode::not_found,
       "no such model, or it is private: if it is yours, run: fluxq login"},
      {401, "", "Invalid credentials in Authorization header", true, ErrorCode::network,
       "token is not accepted (\"Invalid credentials"},
      {403, "", "", true, ErrorCode::network, "allow your token to read gated repositories"},
      {404, "RepoNotFound", "", true, ErrorCode::not_found, "not open to your token"},
      {404, "RevisionNotFound", "", true, ErrorCode::not_found, "has no revision \"main\""},
      {418, "", "", true, ErrorCode::network, "expected an answer, got status 418"},
  };
  for (const Case& one : cases) {
    environment_.set("HF_TOKEN", one.with_token ? "hf_secret" : nullptr);
    hub_.on_hub = [&](const ServerRequest&) -> std::optional<ServerReply> {
      return ServerReply{
          .status = one.status,
          .headers = {"X-Error-Code: " + one.code, "X-Error-Message: " + one.message}};
    };
    try {
      fetch();
      ADD_FAILURE() << one.sentence;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), one.error);
      EXPECT_THAT(error.what(), HasSubstr(one.sentence));
      EXPECT_THAT(error.what(), Not(HasSubstr("hf_secret")));
    }
  }
}

TEST_F(Fetch, NoErrorShowsASignatureOrAToken) {
  for (const int status : {500, 403, 302}) {
    hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
      return ServerReply{.status = status, .headers = {"Location: file:///hf_secret"}};
    };
    try {
      fetch();
      ADD_FAILURE() << "expected an error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), Not(HasSubstr("s3cret")));
      EXPECT_THAT(error.what(), Not(HasSubstr("hf_secret")));
    }
  }
}

TEST_F(Fetch, AListingOfAnotherFormIsRefused) {
  const std::string sha = "\"sha\":\"" + kTestCommit + "\"";
  const auto one_file = [&](const std::string& path, const std::string& rest) {
    return "{" + sha + ",\"siblings\":[{\"rfilename\":\"" + path + "\"," + rest + "}]}";
  };
  const std::string good = "\"size\":1,\"blobId\":\"" + std::string(40, 'a') + "\"";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"<html>", "line 1"},
      {"", "line 1"},
      {"[]", "expected an object"},
      {"{}", "sha"},
      {"{\"sha\":\"main\",\"siblings\":[]}", "expected a commit"},
      {"{" + sha + "}", "siblings: expected an array"},
      {"{" + sha + ",\"siblings\":[1]}", "expected an object"},
      {one_file("a", "\"size\":1"), "blobId"},
      {one_file("a", "\"blobId\":\"" + std::string(40, 'a') + "\""), "size"},
      {one_file("a", "\"size\":-1,\"blobId\":\"" + std::string(40, 'a') + "\""), "size"},
      {one_file("a", "\"size\":1e3,\"blobId\":\"" + std::string(40, 'a') + "\""), "size"},
      {one_file("a", "\"size\":1,\"blobId\":\"../" + std::string(37, 'a') + "\""),
       "40 hexadecimal"},
      {one_file("a", good + ",\"lfs\":{\"sha256\":\"abc\",\"size\":1}"), "64 hexadecimal"},
      {one_file("a", good + "},{\"rfilename\":\"a\"," + good), "a twice"},
  };
  for (const auto& [body, sentence] : cases) {
    hub_.on_hub = [&](const ServerRequest&) -> std::optional<ServerReply> {
      return ServerReply{.body = body};
    };
    EXPECT_FLUXQ_ERROR(fetch(), network, sentence);
  }
  for (const std::string path :
       {"../a", "/a", "a//b", "a/../b", ".", "a/.", "a\\\\b", "a\\u0000b", "a\\n", ""})
    EXPECT_FLUXQ_ERROR(parse_listing(one_file(path, good), "org/name", "x"), network,
                       "expected a relative path");
  EXPECT_FALSE(fs::exists(model()));
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
