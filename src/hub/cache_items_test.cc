#include "hub/cache_items.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file_lock.h"
#include "base/test_support.h"
#include "hub/cache_layout.h"
#include "hub/testing.h"
#include "hub/testing_hub.h"
#include "hub/verify.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;
using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const CancelToken kNoCancel;

void put(const fs::path& file, const std::string& content) {
  fs::create_directories(file.parent_path());
  write_test_file(file, content);
}

/// A model as huggingface_hub lays it out.
fs::path put_model(const fs::path& cache, const std::string& name,
                   const std::map<std::string, std::string>& files) {
  const fs::path model = cache / name;
  for (const auto& [path, content] : files) {
    const std::string hash = TestingHub::hash(content);
    put(model / "blobs" / hash, content);
    const fs::path link = model / "snapshots" / kTestCommit / path;
    fs::create_directories(link.parent_path());
    fs::create_symlink((model / "blobs" / hash).lexically_relative(link.parent_path()), link);
  }
  put(model / "refs/main", kTestCommit);
  return model;
}

class Cache : public ::testing::Test {
 protected:
  Cache() : environment_(home_.path().string()) {
    environment_.set("TORCH_HOME", nullptr);
    environment_.set("PIP_CACHE_DIR", nullptr);
  }

  std::vector<CacheItem> find(CacheKind kind, std::vector<fs::path> folders = {}) const {
    return find_items(kind, folders, kNoCancel);
  }
  fs::path flux_model() const {
    return put_model(hub(), "models--org--flux",
                     {{"model_index.json", R"({"_class_name":"FluxPipeline"})"},
                      {"vae/w.safetensors", std::string(100'000, 'w')}});
  }
  fs::path caches() const { return home_ / ".cache"; }
  fs::path hub() const { return caches() / "huggingface/hub"; }

  TempFolder home_;
  HubEnvironment environment_;
};

TEST_F(Cache, ListsModelsWithTheirRevisions) {
  EXPECT_TRUE(find(CacheKind::hub).empty());
  const fs::path model = flux_model();
  put_model(hub(), "models--other--llm", {{"config.json", "{}"}});
  put(hub() / "datasets--a--b/blobs/x", "x");
  put(model / "blobs/abc.fluxq.incomplete", std::string(5000, 'x'));
  const std::vector<CacheItem> items = find(CacheKind::hub);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].name, "org/flux");
  EXPECT_TRUE(items[0].is_flux);
  EXPECT_THAT(items[0].revisions, ElementsAre("main " + kTestCommit.substr(0, 12)));
  EXPECT_GE(items[0].size.bytes, 105'000u);
  EXPECT_GE(items[0].unfinished_bytes, 5000u);
  EXPECT_LT(items[0].unfinished_bytes, 100'000u);
  EXPECT_GT(items[0].size.last_use, 0);
  EXPECT_EQ(items[1].name, "other/llm");
  EXPECT_FALSE(items[1].is_flux);
}

TEST_F(Cache, RemovesAModelAndNothingElse) {
  const fs::path model = flux_model();
  const fs::path other = put_model(hub(), "models--other--llm", {{"config.json", "{}"}});
  put(home_ / "precious", "x");
  fs::create_symlink(home_ / "precious", model / "snapshots" / kTestCommit / "link");
  fs::create_directory_symlink(other, model / "snapshots" / kTestCommit / "folder");
  const CacheItem item = find(CacheKind::hub).at(0);
  const TreeSize freed = remove_item(item, kNoCancel);
  EXPECT_EQ(freed.bytes, item.size.bytes);
  EXPECT_GE(freed.bytes, 100'000u);
  EXPECT_FALSE(fs::exists(model));
  EXPECT_TRUE(fs::exists(home_ / "precious"));
  EXPECT_TRUE(fs::exists(other / "snapshots" / kTestCommit / "config.json"));
}

TEST_F(Cache, AModelThatIsALinkIsLeftAlone) {
  put_model(home_.path(), "elsewhere", {{"model_index.json", R"({"_class_name":"FluxPipeline"})"}});
  fs::create_directories(hub());
  fs::create_directory_symlink(home_ / "elsewhere", hub() / "models--org--flux");
  EXPECT_TRUE(find(CacheKind::hub).empty());
}

TEST_F(Cache, AModelThatIsBeingDownloadedIsNotRemoved) {
  const fs::path model = flux_model();
  fs::create_directories(hub() / ".locks/models--org--flux");
  {
    const FileLock lock(hub() / ".locks/models--org--flux/abc.lock");
    EXPECT_FLUXQ_ERROR(remove_item(find(CacheKind::hub).at(0), kNoCancel), io, "in use by");
    EXPECT_TRUE(fs::exists(model / "refs/main"));
  }
  put(hub() / ".locks/models--org--flux/old.lock", "");
  remove_item(find(CacheKind::hub).at(0), kNoCancel);
  EXPECT_FALSE(fs::exists(model));
  EXPECT_FALSE(fs::exists(hub() / ".locks/models--org--flux"));
}

TEST_F(Cache, SharedFilesGoWithTheLastModelThatHasThem) {
  const std::string hash = "ab" + std::string(62, '0');
  const fs::path shared = hub() / "blobs/ab" / hash;
  put(shared, std::string(50'000, 's'));
  put(hub() / "blobs/.huggingface-shared-blobs", "1\n");
  put(hub() / "blobs/ab" / (hash + ".refs"),
      "models--org--a/blobs/x\nmodels--org--b/blobs/x\n../../etc\n");
  for (const char* name : {"models--org--a", "models--org--b"}) {
    fs::create_directories(hub() / name / "blobs");
    fs::create_symlink("../../blobs/ab/" + hash, hub() / name / "blobs/x");
  }
  EXPECT_GE(find(CacheKind::hub).at(0).size.bytes, 50'000u);
  EXPECT_EQ(remove_item(find(CacheKind::hub).at(0), kNoCancel).bytes, 0u);
  EXPECT_TRUE(fs::exists(shared));
  EXPECT_GE(remove_item(find(CacheKind::hub).at(0), kNoCancel).bytes, 50'000u);
  EXPECT_FALSE(fs::exists(shared));
  EXPECT_TRUE(fs::exists(hub() / "blobs/.huggingface-shared-blobs"));
}

TEST_F(Cache, ASharedFileWithoutAListStays) {
  const std::string hash = "ab" + std::string(62, '0');
  put(hub() / "blobs/ab" / hash, "s");
  fs::create_directories(hub() / "models--org--a/blobs");
  fs::create_symlink("../../blobs/ab/" + hash, hub() / "models--org--a/blobs/x");
  remove_item(find(CacheKind::hub).at(0), kNoCancel);
  EXPECT_TRUE(fs::exists(hub() / "blobs/ab" / hash));
}

TEST_F(Cache, RunsAreKnownByTheirFilesAndOtherFilesStay) {
  for (const char* name : {"one", "two"}) {
    put(home_ / "results" / name / "results.sqlite", "x");
    put(home_ / "results" / name / "progress.md", "x");
    put(home_ / "results" / name / "pictures/bf16/a.png", "x");
  }
  put(home_ / "results/one/report/picture.png", "x");
  put(home_ / "results/one/results.before-1.sqlite", "x");
  put(home_ / "results/two/notes.txt", "mine");
  put(home_ / "results/three/report.md", "x");
  const std::vector<CacheItem> items = find(CacheKind::runs, {home_ / "results"});
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(find(CacheKind::runs, {home_ / "results/one"}).size(), 1u);
  for (const CacheItem& item : items) remove_item(item, kNoCancel);
  EXPECT_FALSE(fs::exists(home_ / "results/one"));
  EXPECT_THAT(list_folder(home_ / "results/two"), ElementsAre("notes.txt"));
  EXPECT_TRUE(fs::exists(home_ / "results/three/report.md"));
  EXPECT_FLUXQ_ERROR(find(CacheKind::runs, {home_ / "none"}), not_found, "none");
}

TEST_F(Cache, ARunThatGoesOnIsNotRemoved) {
  put(home_ / "run/results.sqlite", "x");
  put(home_ / "run/progress.md", "x");
  const FileLock lock(home_ / "run/run.lock");
  EXPECT_FLUXQ_ERROR(remove_item(find(CacheKind::runs, {home_ / "run"}).at(0), kNoCancel), io,
                     "in use by");
  EXPECT_TRUE(fs::exists(home_ / "run/results.sqlite"));
}

TEST_F(Cache, AMissingFolderForTemporaryFilesIsNoError) {
  environment_.set("TMPDIR", "/there/is/no/such/folder");
  EXPECT_TRUE(find(CacheKind::torch).empty());
}

TEST_F(Cache, QuantizedModelsAreKnownByTheirConfig) {
  put(home_ / "models/q/model_index.json", "{}");
  put(home_ / "models/q/transformer/config.json", R"({"quantization_config":{}})");
  put(home_ / "models/q/transformer/w.safetensors", "x");
  put(home_ / "models/plain/model_index.json", "{}");
  put(home_ / "models/plain/transformer/config.json", "{}");
  const std::vector<CacheItem> items = find(CacheKind::quantized, {home_ / "models"});
  ASSERT_EQ(items.size(), 1u);
  remove_item(items[0], kNoCancel);
  EXPECT_THAT(list_folder(home_ / "models"), ElementsAre("plain"));
}

TEST_F(Cache, OfOtherProgramsOnlyTheirCachesAreTouched) {
  put(caches() / "torch/hub/checkpoints/a.pth", "x");
  put(caches() / "torch/mine.txt", "x");
  put(caches() / "torchao/a", "x");
  put(caches() / "pip/http-v2/a", "x");
  put(caches() / "pip/mine.txt", "x");
  put(caches() / "fluxq/a", "x");
  for (const CacheKind kind :
       {CacheKind::torch, CacheKind::torchao, CacheKind::pip, CacheKind::algorithms}) {
    for (const CacheItem& item : find(kind))
      if (item.path.string().starts_with(home_.path().string())) remove_item(item, kNoCancel);
  }
  EXPECT_THAT(list_folder(caches()), ElementsAre("pip", "torch"));
  EXPECT_THAT(list_folder(caches() / "torch"), ElementsAre("mine.txt"));
  EXPECT_THAT(list_folder(caches() / "pip"), ElementsAre("mine.txt"));
}

TEST_F(Cache, AnIntactModelHasNoFaults) {
  Progress progress;
  const Verification result = verify_model(flux_model(), progress, kNoCancel);
  EXPECT_EQ(result.files, 2u);
  EXPECT_EQ(result.bytes, 100'000u + 30u);
  EXPECT_TRUE(result.faults.empty());
}

TEST_F(Cache, FaultsAreNamed) {
  const fs::path model = flux_model();
  const fs::path blob = model / "blobs" / TestingHub::hash(std::string(100'000, 'w'));
  put(blob, std::string(99'999, 'w') + "x");
  put(model / "blobs/abc.incomplete", "x");
  fs::create_symlink("../../blobs/gone", model / "snapshots" / kTestCommit / "gone.json");
  put(model / "refs/v1", std::string(40, 'f'));
  put(model / "refs/bad", "nonsense");
  Progress progress;
  const Verification result = verify_model(model, progress, kNoCancel);
  std::vector<std::string> paths;
  for (const CacheFault& fault : result.faults) paths.push_back(fault.path.filename());
  EXPECT_THAT(paths,
              ::testing::UnorderedElementsAre(blob.filename().string(), "gone.json", "v1", "bad"));
  EXPECT_THAT(result.faults[0].sentence, HasSubstr("expected SHA-256"));
  EXPECT_TRUE(result.faults[0].removable);
}

TEST(FileTree, CountsAndRemovesWithoutFollowingLinks) {
  const TempFolder folder;
  const TempFolder outside;
  put(outside / "precious", std::string(10'000, 'x'));
  put(folder / "a/b/c/file", std::string(10'000, 'x'));
  fs::create_directory_symlink(outside.path(), folder / "a/folder");
  fs::create_symlink(outside / "precious", folder / "a/b/link");
  ASSERT_EQ(::mkfifo((folder / "a/fifo").c_str(), 0600), 0);
  fs::create_hard_link(outside / "precious", folder / "a/hard");
  const TreeSize size = measure_tree(folder / "a", kNoCancel);
  EXPECT_EQ(size.files, 5u);
  EXPECT_GE(size.bytes, 10'000u);
  EXPECT_LT(size.bytes, 20'000u) << "a file with two names does not come back";
  EXPECT_EQ(remove_tree(folder / "a", kNoCancel).bytes, size.bytes);
  EXPECT_TRUE(list_folder(folder.path()).empty());
  EXPECT_EQ(fs::file_size(outside / "precious"), 10'000u);
  EXPECT_EQ(remove_tree(folder / "a", kNoCancel).files, 0u);
  fs::create_directory_symlink(outside.path(), folder / "link");
  remove_tree(folder / "link", kNoCancel);
  EXPECT_TRUE(fs::exists(outside / "precious"));
}

TEST(FileTree, HasADepthAndCanBeCancelled) {
  const TempFolder folder;
  fs::path deep = folder.path();
  for (int i = 0; i < 70; ++i) deep /= "d";
  fs::create_directories(deep);
  EXPECT_FLUXQ_ERROR(remove_tree(folder / "d", kNoCancel), io, "at most 64 folders");
  CancelToken cancel;
  cancel.request();
  EXPECT_FLUXQ_ERROR(measure_tree(folder / "d", cancel), cancelled, "interrupted");
}

}  // namespace
}  // namespace fluxq
