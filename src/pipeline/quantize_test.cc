#include "pipeline/quantize.h"

#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "base/test_support.h"
#include "checkpoint/tensor_store.h"
#include "checkpoint/weights_hash.h"
#include "fluxq/engine.h"
#include "models/stored_weights.h"
#include "pipeline/model_recipe.h"
#include "pipeline/model_weights.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

const fs::path kModel = FLUXQ_SOURCE_DIR "/models/emoji-flux";

class QuantizeTest : public ::testing::Test {
 protected:
  QuantizeResult quantize(const fs::path& model, const std::string& scheme, const fs::path& output,
                          uint64_t max_shard_bytes = PartWriter::kDefaultShardBytes) {
    return quantize_folder(read(model), Recipe::standard(find_scheme(scheme)), output, progress_,
                           cancel_, max_shard_bytes);
  }
  ModelFolder read(const fs::path& model) { return read_model_folder(model, progress_); }

  // A copy of the bundled model whose transformer's weight `name` has `bits` as its first element.
  fs::path damaged(const std::string& name, uint16_t bits) {
    const fs::path model = folder_ / "model";
    fs::copy(kModel, model, fs::copy_options::recursive);
    for (const fs::path& path : TensorStore(model / "transformer").files()) {
      const SafetensorsFile file(path);
      const TensorEntry* entry = file.find(name);
      if (!entry) continue;
      const uint64_t begin = fs::file_size(path) - file.data_bytes() + entry->offset;
      std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
      stream.seekp(static_cast<std::streamoff>(begin));
      stream.write(reinterpret_cast<const char*>(&bits), sizeof(bits));
    }
    return model;
  }
  void expect_nothing_but(const std::set<std::string>& names) {
    const std::vector<std::string> left = list_folder(folder_.path());
    EXPECT_EQ(std::set<std::string>(left.begin(), left.end()), names);
  }

  TempFolder folder_;
  Progress progress_;
  CancelToken cancel_;
};

TEST_F(QuantizeTest, StoresWhatLoadingWouldHavePacked) {
  const fs::path output = folder_ / "out";
  for (const char* name : {"fp8dqrow", "fp8dq", "int8dq", "int8wo", "int4wo", "sparse24-int8dq"}) {
    SCOPED_TRACE(name);
    const Scheme& scheme = find_scheme(name);
    const QuantizeResult result = quantize(kModel, name, output);
    EXPECT_EQ(result.parts, std::vector<std::string>{"transformer"});
    EXPECT_LT(result.output_bytes, result.input_bytes);
    const TensorStore plain(kModel / "transformer"), packed(output / "transformer");
    int64_t layers = 0, file_bytes = 0;
    for (const LayerCoverage& layer : result.layers) {
      const std::string in_part = layer.layer.substr(std::string("transformer.").size());
      const StoredWeight stored = stored_weight(packed, in_part, layer.out, layer.in);
      ASSERT_EQ(stored.scheme ? stored.scheme->info().name : "bf16", layer.scheme) << layer.layer;
      if (!stored.scheme) continue;
      const PackedWeight expected = scheme.pack(plain.read(in_part + ".weight"), "w");
      const PackedWeight got =
          read_stored_weight(packed, in_part, scheme, layer.out, layer.in, cancel_);
      ASSERT_EQ(scheme.unpack(got), scheme.unpack(expected)) << layer.layer;
      EXPECT_EQ(layer.packed_bytes, got.bytes());
      ++layers;
    }
    EXPECT_EQ(layers, 64);
    for (const fs::path& file : packed.files())
      file_bytes += static_cast<int64_t>(fs::file_size(file));
    EXPECT_EQ(file_bytes, result.output_bytes);
    fs::remove_all(output);
  }
}

TEST_F(QuantizeTest, DrawsTheSameBytesAsQuantizingAtLoad) {
  const auto draw = [](const fs::path& model, const std::string& scheme) {
    Engine engine({.model = model, .scheme = scheme});
    return engine.generate({.prompt = "red apple", .steps = 1, .width = 64, .height = 64})[0];
  };
  const uint64_t kSmallShards = 4 << 20;
  const fs::path output = folder_ / "out";
  quantize(kModel, "int8dq", output, kSmallShards);
  EXPECT_GT(TensorStore(output / "transformer").files().size(), 2u);
  const Picture at_load = draw(kModel, "int8dq"), stored = draw(output, "");
  EXPECT_EQ(stored.image, at_load.image);
  EXPECT_EQ(stored.info.scheme, "int8dq");
  EXPECT_EQ(draw(output, "int8dq").image, at_load.image);
  EXPECT_NE(draw(kModel, "").image, at_load.image);
}

TEST_F(QuantizeTest, AStoredModelIsWhatItIs) {
  const fs::path output = folder_ / "out";
  const Recipe mlp = Recipe::load(FLUXQ_SOURCE_DIR "/recipes/mlp-only.json", find_scheme("int4wo"));
  quantize_folder(read(kModel), mlp, output, progress_, cancel_);
  const ModelFolder model = read(output);
  const Recipe stored = choose_recipe(model, "", "");
  EXPECT_EQ(&stored.main(), &find_scheme("int4wo"));
  for (const std::string& layer : weight_plans(model).at("transformer").layers("transformer"))
    EXPECT_EQ(stored.choose(layer).scheme, mlp.choose(layer).scheme) << layer;
  EXPECT_FLUXQ_ERROR(choose_recipe(model, "int8dq", ""), bad_argument, "stored as int4wo");
  EXPECT_FLUXQ_ERROR(choose_recipe(model, "bf16", ""), bad_argument, "stored as int4wo");
  EXPECT_FLUXQ_ERROR(choose_recipe(model, "", FLUXQ_SOURCE_DIR "/recipes/default.json"),
                     bad_argument, "its own recipe");
  EXPECT_FLUXQ_ERROR(quantize(output, "int4wo", folder_ / "again"), bad_argument, "plain weights");
}

TEST_F(QuantizeTest, TextEncodersGoByRecipe) {
  const fs::path output = folder_ / "out";
  const Recipe recipe =
      Recipe::load(FLUXQ_SOURCE_DIR "/recipes/text-encoders-too.json", find_scheme("fp8dqrow"));
  const QuantizeResult result = quantize_folder(read(kModel), recipe, output, progress_, cancel_);
  EXPECT_THAT(result.parts, ::testing::ElementsAre("text_encoder_2", "transformer"));
  Engine engine({.model = output});
  EXPECT_EQ(engine.generate({.prompt = "x", .steps = 1, .width = 32, .height = 32}).size(), 1u);
}

TEST_F(QuantizeTest, RefusesBadPlacesAndLeavesTheInputAlone) {
  const std::string before = weights_sha256(kModel, 1);
  EXPECT_FLUXQ_ERROR(quantize(kModel, "int8dq", kModel), bad_argument, "outside the input");
  EXPECT_FLUXQ_ERROR(quantize(kModel, "int8dq", kModel / "new"), bad_argument, "outside the input");
  EXPECT_FLUXQ_ERROR(quantize(kModel, "int8dq", ""), bad_argument, "output");
  EXPECT_FLUXQ_ERROR(quantize(kModel, "int8dq", folder_.path()), bad_argument, "exists");
  fs::create_directory_symlink(folder_ / "nowhere", folder_ / "link");
  EXPECT_FLUXQ_ERROR(quantize(kModel, "int8dq", folder_ / "link"), bad_argument, "exists");
  EXPECT_FLUXQ_ERROR(quantize(kModel, "int8dq", folder_ / "no/such/place"), not_found, "place");
  EXPECT_FLUXQ_ERROR(quantize(kModel, "bf16", folder_ / "out"), bad_argument,
                     "nothing to quantize");
  expect_nothing_but({"link"});
  EXPECT_EQ(weights_sha256(kModel, 1), before);
}

TEST_F(QuantizeTest, ABadWeightLeavesNothingBehind) {
  const std::string name = "transformer_blocks.1.ff.net.2.weight";
  const fs::path model = damaged(name, 0x7fc0);
  EXPECT_FLUXQ_ERROR(quantize(model, "int8dq", folder_ / "out"), numeric,
                     "transformer." + name + " at [0, 0]");
  expect_nothing_but({"model"});
}

TEST_F(QuantizeTest, CancellingLeavesNothingBehind) {
  struct Canceller final : Progress {
    explicit Canceller(CancelToken& token) : cancel(token) {}
    void update(int64_t done) override {
      if (done == 50) cancel.request();
    }
    CancelToken& cancel;
  } canceller(cancel_);
  EXPECT_FLUXQ_ERROR(quantize_folder(read(kModel), Recipe::standard(find_scheme("int8dq")),
                                     folder_ / "out", canceller, cancel_),
                     cancelled, "interrupted");
  expect_nothing_but({});
}

TEST_F(QuantizeTest, AFullDiskLeavesNothingBehind) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit small = {1 << 20, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_FLUXQ_ERROR(quantize(kModel, "int8dq", folder_ / "out"), disk_full, "");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  expect_nothing_but({});
}

TEST_F(QuantizeTest, CorruptPartsAreRefusedByName) {
  quantize(kModel, "int8dq", folder_ / "out");
  const fs::path file = folder_ / "out/transformer/diffusion_pytorch_model.safetensors";
  const std::string layer = "transformer_blocks.0.attn.to_q";
  using Tensors = std::vector<std::pair<std::string, Tensor>>;
  const auto load_with = [&](const auto& change) {
    const SafetensorsFile good(file);
    Tensors tensors;
    for (const auto& [name, entry] : good.entries()) tensors.emplace_back(name, good.read(name));
    change(tensors);
    const fs::path model = folder_ / "bad";
    fs::remove_all(model);
    fs::copy(folder_ / "out", model, fs::copy_options::recursive);
    save_safetensors(model / "transformer" / file.filename(), tensors, good.metadata());
    Engine engine({.model = model});
  };
  const auto with_scale = [&](const auto& change) {
    return [&, change](Tensors& tensors) {
      for (auto& [name, tensor] : tensors)
        if (name == layer + "._weight_scale") change(tensor);
    };
  };
  for (const float bad : {0.0f, -1.0f, NAN, INFINITY}) {
    const auto set = [bad](Tensor& scale) { scale.data<float>()[3] = bad; };
    EXPECT_FLUXQ_ERROR(load_with(with_scale(set)), corrupt_file, "its scale at 3");
  }
  const auto shorten = [](Tensor& scale) { scale = scale.slice(0, 7); };
  EXPECT_FLUXQ_ERROR(load_with(with_scale(shorten)), corrupt_file, "_weight_scale");
  const auto remove = [&](Tensors& tensors) {
    std::erase_if(tensors, [&](const auto& t) { return t.first == layer + "._weight_scale"; });
  };
  EXPECT_FLUXQ_ERROR(load_with(remove), corrupt_file, "_weight_scale");
  const auto widen = [](Tensor& scale) { scale = converted(scale, DType::bf16); };
  EXPECT_FLUXQ_ERROR(load_with(with_scale(widen)), corrupt_file, "expected dtype F32");
}

}  // namespace
}  // namespace fluxq
