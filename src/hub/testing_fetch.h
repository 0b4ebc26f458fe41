/// For the tests of fetching: a Hub with one model, a home of its own, and what must hold after.
#pragma once

#include "base/file.h"
#include "hub/fetch.h"
#include "hub/testing.h"
#include "hub/testing_hub.h"

namespace fluxq::testing {

namespace fs = std::filesystem;

/// Bytes that do not compress, the same for the same seed.
inline std::string noise(size_t bytes, unsigned seed) {
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return text;
}

/// The model at the Hub: path -> contents.
inline const std::map<std::string, std::string> kFiles = {
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

/// A Hub with kFiles as org/name and an empty home; what is fetched goes to its cache.
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

}  // namespace fluxq::testing
