#include "checkpoint/tensor_store.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/text.h"
#include "checkpoint/test_files.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndex = "model.safetensors.index.json";

// {"weight_map": {...}} from `map`, written as JSON members.
void write_index(const fs::path& folder, std::string_view map, std::string_view metadata = "{}") {
  write_test_file(folder / kIndex,
                  fmt::format(R"({{"metadata":{},"weight_map":{{{}}}}})", metadata, map));
}

// Two shards, a.safetensors with x and y, b.safetensors with z, and their index.
void write_shards(const fs::path& folder) {
  write_scalars(folder / "a.safetensors", {"x", "y"});
  write_scalars(folder / "b.safetensors", {"z"});
  write_index(folder, R"("x":"a.safetensors","y":"a.safetensors","z":"b.safetensors")",
              R"({"total_size":12})");
}

TEST(TensorStore, OpensAFileOrAFolderWithOne) {
  for (const std::string name :
       {"model.safetensors", "diffusion_pytorch_model.safetensors", "any.safetensors"}) {
    const TempFolder folder;
    write_scalars(folder / name, {"x", "y"});
    for (const fs::path& path : {folder.path(), folder / name}) {
      const TensorStore store(path);
      EXPECT_EQ(store.names(), (std::vector<std::string>{"x", "y"}));
      EXPECT_EQ(store.tensor_count(), 2u);
      EXPECT_EQ(store.total_bytes(), 8u);
      EXPECT_EQ(store.files(), std::vector<fs::path>{folder / name});
      EXPECT_EQ(store.read("y").elements(), 1);
      EXPECT_EQ(store.find("z"), nullptr);
      EXPECT_FLUXQ_ERROR(store.read("z"), not_found, "no tensor \"z\"");
    }
  }
}

TEST(TensorStore, OpensShardsThroughTheirIndex) {
  const TempFolder folder;
  write_shards(folder.path());
  for (const fs::path& path : {folder.path(), folder / kIndex}) {
    const TensorStore store(path);
    EXPECT_EQ(store.names(), (std::vector<std::string>{"x", "y", "z"}));
    EXPECT_EQ(store.total_bytes(), 12u);
    EXPECT_EQ(store.files().size(), 2u);
    EXPECT_EQ(store.find("z")->bytes, 4u);
    EXPECT_EQ(store.read("x").elements(), 1);
    EXPECT_TRUE(store.warnings().empty());
  }
}

TEST(TensorStore, ATotalSizeWrittenAsAFloatIsFine) {
  const TempFolder folder;
  write_shards(folder.path());
  write_index(folder.path(), R"("x":"a.safetensors","z":"b.safetensors")",
              R"({"total_size":8.0,"total_parameters":2})");
  EXPECT_EQ(TensorStore(folder.path()).total_bytes(), 8u);
}

TEST(TensorStore, FoldersWithoutAClearChoiceAreRefused) {
  const TempFolder folder;
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), not_found, "got none");
  EXPECT_FLUXQ_ERROR(TensorStore(folder / "gone"), not_found, "gone");
  write_test_file(folder / "model.bin", "pickle");
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), unsupported, "got the pickle model.bin");
  write_scalars(folder / "p.safetensors", {"x"});
  EXPECT_EQ(TensorStore(folder.path()).tensor_count(), 1u);
  write_scalars(folder / "q.safetensors", {"x"});
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), bad_argument, "p.safetensors, q.safetensors");
}

TEST(TensorStore, OnlyPlainFileNamesAreShards) {
  const TempFolder outside;
  write_scalars(outside / "x.safetensors", {"x"});
  const TempFolder folder;
  fs::create_directory(folder / "sub");
  write_scalars(folder / "sub" / "x.safetensors", {"x"});
  for (const std::string& name :
       {std::string("../x.safetensors"), (outside / "x.safetensors").string(),
        std::string("sub/x.safetensors"), std::string("./x.safetensors"),
        std::string("C:x.safetensors"), std::string("C:\\x.safetensors"),
        std::string("\\\\host\\share\\x.safetensors"), std::string("..\\x.safetensors"),
        std::string("//host/share/x.safetensors"), std::string(""), std::string("."),
        std::string(".."), std::string(".safetensors"), std::string("x.bin"), std::string(kIndex),
        std::string("x\n.safetensors"), std::string("x\0.safetensors", 14),
        std::string(300, 'x') + ".safetensors"}) {
    SCOPED_TRACE(in_quotes(name));
    write_index(folder.path(), fmt::format("\"x\":{}", Json(name).dump()));
    EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), corrupt_file,
                       "tensor \"x\": expected the name of a .safetensors file");
  }
  for (const std::string_view value : {"null", "1", "[\"a.safetensors\"]", "{}"}) {
    write_index(folder.path(), fmt::format("\"x\":{}", value));
    EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), corrupt_file, "expected the name of");
  }
}

TEST(TensorStore, LinksOutOfTheFolderAreRefused) {
  const TempFolder outside;
  write_scalars(outside / "x.safetensors", {"x"});
  const TempFolder folder;
  write_index(folder.path(), R"("x":"a.safetensors")");
  fs::create_symlink(outside / "x.safetensors", folder / "a.safetensors");
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), corrupt_file, "got a link");
  fs::remove(folder / "a.safetensors");
  fs::create_symlink("a.safetensors", folder / "a.safetensors");
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), corrupt_file, "got a link");
  fs::remove(folder / "a.safetensors");
  fs::create_hard_link(outside / "x.safetensors", folder / "a.safetensors");
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), corrupt_file, "2 hard links");
}

TEST(TensorStore, TheLinksOfTheHuggingFaceCacheAreFollowedIntoItsBlobsOnly) {
  const TempFolder cache;
  const fs::path part = cache / "models--a--b" / "snapshots" / "123" / "transformer";
  const fs::path blobs = cache / "models--a--b" / "blobs";
  fs::create_directories(part);
  fs::create_directories(blobs);
  write_scalars(blobs / "hash", {"x"});
  write_index(part, R"("x":"a.safetensors")");
  fs::create_symlink("../../../blobs/hash", part / "a.safetensors");
  EXPECT_EQ(TensorStore(part).tensor_count(), 1u);
  // huggingface_hub 2 shares equal files among models: the blob is then a link itself.
  fs::create_directories(cache / "blobs" / "ab");
  fs::rename(blobs / "hash", cache / "blobs" / "ab" / "abcd");
  fs::create_symlink("../../blobs/ab/abcd", blobs / "hash");
  EXPECT_EQ(TensorStore(part).tensor_count(), 1u);
  fs::remove(blobs / "hash");
  write_scalars(cache / "blobs" / "abcd", {"x"});
  fs::create_symlink("../../blobs/abcd", blobs / "hash");
  EXPECT_FLUXQ_ERROR(TensorStore(part), corrupt_file, "got a link");
  fs::remove(part / "a.safetensors");
  write_scalars(cache / "secret", {"x"});
  fs::create_symlink(cache / "secret", part / "a.safetensors");
  EXPECT_FLUXQ_ERROR(TensorStore(part), corrupt_file, "got a link");
}

TEST(TensorStore, ShardsThatDisagreeWithTheIndexAreRefused) {
  const TempFolder folder;
  write_shards(folder.path());
  write_index(folder.path(), R"("x":"a.safetensors","y":"b.safetensors","z":"b.safetensors")");
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), corrupt_file,
                     "tensor \"y\": expected it in b.safetensors, got a file without it");
  write_index(folder.path(), R"("x":"a.safetensors","z":"c.safetensors")");
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), not_found, "c.safetensors");
  write_scalars(folder / "b.safetensors", {"y", "z"});
  write_index(folder.path(), R"("x":"a.safetensors","y":"a.safetensors","z":"b.safetensors")");
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), corrupt_file,
                     "tensor \"y\": expected it in one file, got it in b.safetensors too");
  write_test_file(folder / "b.safetensors", "");
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), corrupt_file, "at least 10 bytes, got 0");
  fs::remove(folder / "b.safetensors");
  fs::create_directory(folder / "b.safetensors");
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), bad_argument, "got a folder");
}

TEST(TensorStore, TensorsThatTheIndexLeavesOutGiveAWarning) {
  const TempFolder folder;
  write_shards(folder.path());
  write_index(folder.path(), R"("z":"b.safetensors","x":"a.safetensors")");
  const TensorStore store(folder.path());
  EXPECT_EQ(store.find("y"), nullptr);
  ASSERT_EQ(store.warnings().size(), 1u);
  EXPECT_THAT(store.warnings()[0], testing::HasSubstr("tensor \"y\" is not in the index"));
}

TEST(TensorStore, MalformedIndexesAreRefused) {
  const TempFolder folder;
  write_shards(folder.path());
  const auto refused = [&](std::string_view index, std::string_view message) {
    SCOPED_TRACE(in_quotes(index));
    write_test_file(folder / kIndex, index);
    EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), corrupt_file, std::string(message));
  };
  refused("", "bad JSON");
  refused("[]", "expected an object");
  refused("{}", "weight_map: expected an object, got nothing");
  refused(R"({"weight_map":[]})", "weight_map: expected an object, got an array");
  refused(R"({"weight_map":{}})", "expected at least one tensor");
  refused(R"({"weight_map":{"":"a.safetensors"}})", "tensor name");
  refused(R"({"weight_map":{"x":"a.safetensors","x":"a.safetensors"}})", "duplicate name \"x\"");
  refused(R"({"weight_map":{"x":"a.safetensors"},"weight_map":{}})", "duplicate name");
  const std::string map = R"("weight_map":{"x":"a.safetensors","z":"b.safetensors"}})";
  refused(R"({"metadata":{"total_size":9},)" + map, "total_size: expected 8, the sum");
  refused(R"({"metadata":{"total_size":-1},)" + map, "total_size: expected a number");
  refused(R"({"metadata":{"total_size":8.5},)" + map, "total_size: expected 8, the sum");
  refused(R"({"metadata":{"total_size":"8"},)" + map, "total_size: expected a number");
  refused(R"({"metadata":[],)" + map, "expected an object");
  std::string many = R"({"weight_map":{"x":"a.safetensors")";
  for (int i = 0; i < 100'000; ++i) many += fmt::format(R"(,"{0}":"{0}.safetensors")", i);
  refused(many + "}}", "at most 1024 files");
}

}  // namespace
}  // namespace fluxq
