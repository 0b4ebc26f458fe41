// Against files written by the Python packages safetensors and huggingface_hub
// (tools/golden/checkpoint.py, which says what they hold).
#include <gtest/gtest.h>

#include "base/json.h"
#include "checkpoint/tensor_store.h"
#include "checkpoint/test_files.h"
#include "checkpoint/writer.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(FLUXQ_SOURCE_DIR) / "tests/golden/checkpoint";

using Tensors = std::vector<std::pair<std::string, Tensor>>;

Tensors golden_tensors(const std::vector<TensorSpec>& specs) {
  Tensors tensors;
  for (size_t t = 0; t < specs.size(); ++t) {
    const Tensor tensor = Tensor::on_host(specs[t].dtype, specs[t].shape);
    for (int64_t i = 0; i < tensor.bytes(); ++i)
      static_cast<uint8_t*>(tensor.raw())[i] = static_cast<uint8_t>(
          specs[t].dtype == DType::boolean ? i % 2 : (17 * static_cast<int64_t>(t) + i) % 251);
    tensors.emplace_back(specs[t].name, tensor);
  }
  return tensors;
}

std::string bytes_of(const fs::path& path) { return read_text_file(path, 1 << 20); }

std::string bytes_of(const Tensor& tensor) {
  return std::string(static_cast<const char*>(tensor.raw()), static_cast<size_t>(tensor.bytes()));
}

void expect_holds(const TensorStore& store, const Tensors& tensors) {
  EXPECT_EQ(store.tensor_count(), tensors.size());
  EXPECT_TRUE(store.warnings().empty());
  for (const auto& [name, tensor] : tensors) {
    SCOPED_TRACE(name);
    const Tensor read = store.read(name);
    EXPECT_EQ(read.dtype(), tensor.dtype());
    EXPECT_EQ(read.shape(), tensor.shape());
    EXPECT_EQ(bytes_of(read), bytes_of(tensor));
  }
}

TEST(CheckpointGolden, EveryTypeIsReadAsPythonWroteIt) {
  std::vector<TensorSpec> specs;
  for (int i = 0; i <= static_cast<int>(DType::f64); ++i)
    specs.push_back({fmt::format("t{}", i), static_cast<DType>(i), {2, 3}});
  expect_holds(TensorStore(kGolden / "all_types.safetensors"), golden_tensors(specs));
}

TEST(CheckpointGolden, OurFileIsPythonsByteForByte) {
  const Tensors tensors = golden_tensors({{"b.bias", DType::u8, {3}},
                                          {"wide", DType::f64, {1, 2}},
                                          {"quote \" back \\ é 😀", DType::bf16, {2, 2}},
                                          {"scalar", DType::f32, {}},
                                          {"empty", DType::f32, {0, 4}},
                                          {"a/path", DType::u8, {1}}});
  expect_holds(TensorStore(kGolden / "mixed.safetensors"), tensors);
  const TempFolder folder;
  save_safetensors(folder / "f", tensors, {{"format", "pt \"é\"\n"}});
  EXPECT_EQ(bytes_of(folder / "f"), bytes_of(kGolden / "mixed.safetensors"));
}

TEST(CheckpointGolden, OurShardsAndIndexAreThoseOfHuggingFaceHub) {
  const std::vector<TensorSpec> specs = {{"c", DType::bf16, {3}},
                                         {"a", DType::bf16, {2}},
                                         {"b", DType::bf16, {1}},
                                         {"large", DType::bf16, {15}},
                                         {"d", DType::bf16, {1}}};
  const Tensors tensors = golden_tensors(specs);
  expect_holds(TensorStore(kGolden / "sharded"), tensors);
  const TempFolder folder;
  PartWriter writer(folder.path(), "diffusion_pytorch_model", specs, {{"format", "pt"}}, 10);
  for (const auto& [name, tensor] : tensors) writer.write(name, tensor);
  writer.commit();
  EXPECT_EQ(list_folder(folder.path()), list_folder(kGolden / "sharded"));
  for (const std::string& name : list_folder(folder.path())) {
    SCOPED_TRACE(name);
    const std::string ours = bytes_of(folder / name);
    const std::string theirs = bytes_of(kGolden / "sharded" / name);
    if (name.ends_with(".json"))  // the order in an index means nothing
      EXPECT_EQ(parse_json(ours, name), parse_json(theirs, name));
    else
      EXPECT_EQ(ours, theirs);
  }
}

TEST(CheckpointGolden, TheBundledModelOpens) {
  const fs::path model = fs::path(FLUXQ_SOURCE_DIR) / "models/emoji-flux";
  EXPECT_EQ(TensorStore(model / "transformer").files().size(), 2u);
  for (const char* part : {"transformer", "text_encoder", "text_encoder_2", "vae"}) {
    const TensorStore store(model / part);
    EXPECT_GT(store.tensor_count(), 10u);
    EXPECT_TRUE(store.warnings().empty());
  }
}

}  // namespace
}  // namespace fluxq
