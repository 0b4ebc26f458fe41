#include "checkpoint/writer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/json.h"
#include "checkpoint/tensor_store.h"
#include "checkpoint/test_files.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) { return read_text_file(path, 1 << 20); }

// A tensor whose bytes count up from `first`.
Tensor counting(DType dtype, Shape shape, int first) {
  Tensor tensor = Tensor::on_host(dtype, std::move(shape));
  for (int64_t i = 0; i < tensor.bytes(); ++i)
    static_cast<uint8_t*>(tensor.raw())[i] = static_cast<uint8_t>(first + i);
  return tensor;
}

void expect_same(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.bytes())), 0);
}

const std::vector<std::pair<std::string, Tensor>>& some_tensors() {
  static const std::vector<std::pair<std::string, Tensor>> tensors = {
      {"b", counting(DType::u8, {3}, 1)},
      {"wide", counting(DType::f64, {2}, 20)},
      {"z \"é\\\n😀", counting(DType::bf16, {2, 2}, 40)},
      {"a", counting(DType::u8, {}, 60)},
      {"none", counting(DType::f32, {0, 4}, 0)},
  };
  return tensors;
}

std::vector<TensorSpec> specs_of(const std::vector<std::pair<std::string, Tensor>>& tensors) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors)
    specs.push_back({name, tensor.dtype(), tensor.shape()});
  return specs;
}

TEST(SafetensorsWriter, WhatIsWrittenIsReadBack) {
  const TempFolder folder;
  // A newline in a name is refused, so this one is written without.
  std::vector<std::pair<std::string, Tensor>> tensors = some_tensors();
  tensors[2].first = "z \"é\\😀";
  save_safetensors(folder / "f", tensors, {{"format", "pt"}, {"k\"\n", "é"}});
  const SafetensorsFile file(folder / "f");
  EXPECT_EQ(file.entries().size(), tensors.size());
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}, {"k\"\n", "é"}}));
  for (const auto& [name, tensor] : tensors) expect_same(file.read(name), tensor);
}

TEST(SafetensorsWriter, LaysTensorsOutAlignedAndPadsTheHeader) {
  const TempFolder folder;
  SafetensorsWriter writer(folder / "f", std::vector<TensorSpec>{{"b", DType::u8, {3}},
                                                                 {"h", DType::bf16, {1}},
                                                                 {"a", DType::u8, {}},
                                                                 {"w", DType::f32, {1}}});
  writer.write("a", counting(DType::u8, {}, 'a'));
  writer.write("b", counting(DType::u8, {3}, 'b'));
  writer.write("w", counting(DType::f32, {1}, 'w'));
  writer.write("h", counting(DType::bf16, {1}, 'h'));
  EXPECT_FALSE(fs::exists(folder / "f"));
  writer.commit();
  const std::string bytes = bytes_of(folder / "f");
  EXPECT_EQ(bytes.substr(8),
            R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
            R"("h":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]},)"
            R"("a":{"dtype":"U8","shape":[],"data_offsets":[6,7]},)"
            R"("b":{"dtype":"U8","shape":[3],"data_offsets":[7,10]}}    wxyzhiabcd)");
  EXPECT_EQ(bytes.substr(0, 8), length_prefix(bytes.size() - 8 - 10));
  EXPECT_EQ((bytes.size() - 10) % 8, 0u);
  EXPECT_EQ(writer.file_bytes(), bytes.size());
}

TEST(SafetensorsWriter, TheOrderOfWritingDoesNotShow) {
  const TempFolder folder;
  std::vector<std::pair<std::string, Tensor>> tensors = some_tensors();
  tensors[2].first = "z";
  save_safetensors(folder / "f", tensors);
  std::reverse(tensors.begin(), tensors.end());
  save_safetensors(folder / "g", tensors);
  EXPECT_EQ(bytes_of(folder / "f"), bytes_of(folder / "g"));
}

TEST(SafetensorsWriter, MistakesOfTheCallerAreErrorsAndLeaveNoFile) {
  const TempFolder folder;
  {
    SafetensorsWriter writer(folder / "f", std::vector<TensorSpec>{{"a", DType::u8, {2}}});
    EXPECT_FLUXQ_ERROR(writer.write("b", counting(DType::u8, {2}, 0)), internal, "not announced");
    EXPECT_FLUXQ_ERROR(writer.write("a", counting(DType::u8, {1}, 0)), internal, "expected U8 [2]");
    EXPECT_FLUXQ_ERROR(writer.write("a", counting(DType::i8, {2}, 0)), internal, "got I8");
    EXPECT_FLUXQ_ERROR(writer.commit(), internal, "\"a\" was not written");
    writer.write("a", counting(DType::u8, {2}, 0));
    EXPECT_FLUXQ_ERROR(writer.write("a", counting(DType::u8, {2}, 0)), internal, "written twice");
  }
  EXPECT_FLUXQ_ERROR(save_safetensors(folder / "f", some_tensors()), corrupt_file,
                     "without control characters");
  const std::vector<TensorSpec> twice = {{"a", DType::u8, {2}}, {"a", DType::u8, {2}}};
  EXPECT_FLUXQ_ERROR(SafetensorsWriter(folder / "f", twice), corrupt_file, "duplicate name");
  EXPECT_FLUXQ_ERROR(save_safetensors(folder / "f", {}, {{"k", "\xFF"}}), bad_argument,
                     "metadata \"k\": expected UTF-8");
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(PartWriter, OneShardNeedsNoIndex) {
  const TempFolder folder;
  PartWriter writer(folder.path(), "model", std::vector<TensorSpec>{{"a", DType::u8, {2}}});
  writer.write("a", counting(DType::u8, {2}, 7));
  EXPECT_EQ(writer.commit(), std::vector<fs::path>{folder / "model.safetensors"});
  expect_same(TensorStore(folder.path()).read("a"), counting(DType::u8, {2}, 7));
}

TEST(PartWriter, ShardsAreFilledInOrderAndReadBackThroughTheIndex) {
  const TempFolder folder;
  const std::vector<std::pair<std::string, Tensor>> tensors = {
      {"c", counting(DType::u8, {6}, 0)},  {"a", counting(DType::u8, {4}, 10)},
      {"b", counting(DType::u8, {1}, 20)}, {"large", counting(DType::u8, {30}, 30)},
      {"d", counting(DType::u8, {2}, 60)},
  };
  PartWriter writer(folder.path(), "diffusion_pytorch_model", specs_of(tensors), {{"k", "v"}}, 10);
  for (const auto& [name, tensor] : tensors) writer.write(name, tensor);
  EXPECT_FLUXQ_ERROR(TensorStore(folder.path()), not_found, "got none");
  EXPECT_EQ(writer.commit().size(), 4u);
  const Json index =
      parse_json(bytes_of(folder / "diffusion_pytorch_model.safetensors.index.json"), "index");
  const auto shard = [](int i) {
    return fmt::format("diffusion_pytorch_model-0000{}-of-00003.safetensors", i);
  };
  EXPECT_EQ(index["weight_map"], (Json{{"c", shard(1)},
                                       {"a", shard(1)},
                                       {"b", shard(3)},
                                       {"large", shard(2)},
                                       {"d", shard(3)}}));
  EXPECT_EQ(index["metadata"]["total_size"], 43);
  const TensorStore store(folder.path());
  EXPECT_EQ(store.files().size(), 3u);
  EXPECT_EQ(store.metadata().at("k"), "v");
  EXPECT_TRUE(store.warnings().empty());
  for (const auto& [name, tensor] : tensors) expect_same(store.read(name), tensor);
}

TEST(PartWriter, RefusesAFolderWithOtherWeightsAndAFullDisk) {
  const TempFolder folder;
  const std::vector<TensorSpec> specs = {{"a", DType::u8, {2}}};
  write_scalars(folder / "model.safetensors", {"x"});
  EXPECT_NO_THROW(PartWriter(folder.path(), "model", specs));
  EXPECT_FLUXQ_ERROR(PartWriter(folder.path(), "other", specs), bad_argument,
                     "expected no other weights, got model.safetensors");
  const std::vector<TensorSpec> huge = {{"a", DType::u8, {int64_t{1} << 60}}};
  EXPECT_FLUXQ_ERROR(PartWriter(folder.path(), "model", huge), disk_full,
                     "expected 1152921504606846976 bytes of free space");
  EXPECT_FLUXQ_ERROR(PartWriter(folder / "gone", "model", specs), not_found, "gone");
  EXPECT_EQ(TensorStore(folder.path()).names(), std::vector<std::string>{"x"});
}

TEST(RequireOutputOutsideInput, SeesThroughSpellingsAndLinks) {
  const TempFolder folder;
  fs::create_directory(folder / "in");
  fs::create_directory_symlink("in", folder / "link");
  for (const char* output :
       {"in", "in/", "in/.", "./in", "link", "in/sub/new", "link/new", "new/../in"})
    EXPECT_FLUXQ_ERROR(require_output_outside_input(folder / "in", folder / output), bad_argument,
                       "outside the input");
  for (const char* output : {"in2", "out", "in/../out", "i"})
    EXPECT_NO_THROW(require_output_outside_input(folder / "in", folder / output));
  EXPECT_FLUXQ_ERROR(require_output_outside_input(folder / "in/", folder / "in/new"), bad_argument,
                     "outside the input");
}

}  // namespace
}  // namespace fluxq
