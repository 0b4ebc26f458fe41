#include "models/weights.h"

#include <numeric>

#include "checkpoint/tensor_store.h"
#include "checkpoint/writer.h"
#include "kernels/ref/ref_kernels.h"
#include "kernels/testing.h"
#include "models/clip/text_encoder.h"
#include "models/flux/transformer.h"
#include "models/t5/encoder.h"
#include "models/testing.h"
#include "models/vae/decoder.h"

namespace fluxq {
namespace {

using testing::random_tensor;
using testing::RefScheme;
using testing::values;
using testing::within;

struct Recorder final : Progress {
  void begin(std::string_view name, int64_t count) override { phase = name, total = count; }
  void update(int64_t count) override { done = count; }
  void warn(std::string_view sentence) override { warnings.emplace_back(sentence); }
  std::string phase;
  int64_t total = 0, done = 0;
  std::vector<std::string> warnings;
};

// A part with two layers, a tensor, a convolution and a numbered list, in f32.
class LoaderTest : public ::testing::Test {
 protected:
  using Tensors = std::map<std::string, Tensor>;
  static Tensors tensors() {
    Tensors all;
    all["first.weight"] = random_tensor(DType::f32, {4, 6}, 1);
    all["first.bias"] = random_tensor(DType::bf16, {4}, 2);
    all["second.weight"] = random_tensor(DType::f32, {4, 10}, 3);
    all["table"] = random_tensor(DType::f32, {3, 6}, 4);
    all["conv.weight"] = random_tensor(DType::f32, {2, 3, 3, 3}, 5);
    all["conv.bias"] = random_tensor(DType::f32, {2}, 6);
    all["list.0"] = random_tensor(DType::f32, {2}, 7);
    return all;
  }
  TensorStore store(const Tensors& tensors) {
    const std::vector<std::pair<std::string, Tensor>> list(tensors.begin(), tensors.end());
    save_safetensors(folder_ / "model.safetensors", list);
    return TensorStore(folder_.path());
  }
  // A recipe that gives every layer this scheme.
  Recipe everywhere(const Scheme& scheme) {
    atomic_write(folder_ / "recipe.json", R"({"name": "all", "rules": [{"pattern": "*"}]})");
    return Recipe::load(folder_ / "recipe.json", scheme);
  }
  WeightLoader loader(const TensorStore& store) {
    return {store, "part", recipe_, schemes_, progress_, cancel_};
  }
  struct Weights {
    explicit Weights(WeightSource& source)
        : first(source.linear("first", 4, 6)),
          second(source.split_linear("second", 4, std::vector<int64_t>{3, 7}, false)),
          table(source.tensor("table", {3, 6})),
          conv(source.conv("conv", 2, 3, 3)),
          item(source.tensor("list.0", {2})) {}
    Linear first;
    std::vector<Linear> second;
    Tensor table;
    std::shared_ptr<ConvWeight> conv;
    Tensor item;
  };
  static WeightPlan plan() {
    WeightPlan plan;
    Weights{plan};
    return plan;
  }
  void check(const Tensors& tensors, std::span<const std::string_view> unused = {}) {
    const TensorStore opened = store(tensors);
    WeightLoader::List lists[] = {{"list.", 1}};
    loader(opened).check(plan(), lists, unused);
  }

  TempFolder folder_;
  RefScheme scheme_;
  Recipe recipe_ = scheme_.everywhere();
  RefKernels kernels_;
  DeviceSchemes schemes_{kernels_};
  Recorder progress_;
  CancelToken cancel_;
};

TEST_F(LoaderTest, LoadsWhatThePlanAsksFor) {
  const Tensors all = tensors();
  const TensorStore opened = store(all);
  WeightLoader loading = loader(opened);
  loading.check(plan(), {});
  const Weights weights(loading);
  EXPECT_EQ(progress_.phase, "load part");
  EXPECT_EQ(progress_.total, 7);
  EXPECT_EQ(progress_.done, 7);
  EXPECT_TRUE(progress_.warnings.empty());
  EXPECT_EQ(weights.first.in(), 6);
  EXPECT_EQ(values(weights.table), values(all.at("table")));
  EXPECT_EQ(weights.conv->out_channels, 2);

  // The coverage is of layers, not of parts.
  ASSERT_EQ(loading.coverage().size(), 2u);
  const LayerCoverage& covered = loading.coverage()[1];
  EXPECT_EQ(covered.layer, "part.second");
  EXPECT_EQ(covered.scheme, "definition");
  EXPECT_EQ(covered.reason, "");
  EXPECT_EQ(covered.kernel, "definition");
  EXPECT_EQ(covered.out, 4);
  EXPECT_EQ(covered.in, 10);
  EXPECT_EQ(covered.packed_bytes, 160);
  EXPECT_EQ(covered.resident_bytes, 160);
}

TEST_F(LoaderTest, PartsOfASplitLayerAddUpToIt) {
  const TensorStore opened = store(tensors());
  WeightLoader loading = loader(opened);
  const Linear whole = loading.linear("second", 4, 10, false);
  const int64_t columns[] = {3, 7};
  const std::vector<Linear> parts = loading.split_linear("second", 4, columns, false);
  ASSERT_EQ(parts.size(), 2u);
  const Tensor x = random_tensor(DType::f32, {1, 2, 10}, 9);
  const Tensor expected = Tensor::on_host(DType::f32, {1, 2, 4});
  const Tensor sum = Tensor::on_host(DType::f32, {1, 2, 4});
  Linears(whole).run(kernels_, {.x = x}, expected);
  Linears(parts[0]).run(kernels_, {.x = Rows(x).columns(0, 3)}, sum);
  Linears(parts[1]).run(kernels_, {.x = Rows(x).columns(3, 7)}, sum, {.residual = sum});
  // Ten products of a few units in float32.
  EXPECT_TRUE(within(values(sum), values(expected), std::vector<double>(8, 1e-5)));
}

TEST_F(LoaderTest, PlanKnowsSizesAndLayers) {
  EXPECT_EQ(plan().parameters(), 4 * 6 + 4 + 4 * 10 + 3 * 6 + 2 * 27 + 2 + 2);
  EXPECT_EQ(plan().bytes("part", recipe_), 4 * plan().parameters());
  EXPECT_EQ(plan().layers("part"), (std::vector<std::string>{"part.first", "part.second"}));
  const Recipe bf16 = Recipe::standard(find_scheme("bf16"));
  EXPECT_EQ(plan().bytes("part", bf16), 2 * plan().parameters());
}

TEST_F(LoaderTest, RefusesACheckpointThatDoesNotFit) {
  Tensors missing = tensors();
  missing.erase("first.bias");
  EXPECT_FLUXQ_ERROR(check(missing), corrupt_file, "first.bias");
  Tensors transposed = tensors();
  transposed["first.weight"] = random_tensor(DType::f32, {6, 4}, 1);
  EXPECT_FLUXQ_ERROR(check(transposed), corrupt_file, "[4, 6]");
  Tensors integers = tensors();
  integers["table"] = Tensor::on_host(DType::i8, {3, 6});
  std::memset(integers["table"].raw(), 0, 18);
  EXPECT_FLUXQ_ERROR(check(integers), corrupt_file, "I8");
  Tensors longer = tensors();
  longer["list.1"] = random_tensor(DType::f32, {2}, 7);
  EXPECT_FLUXQ_ERROR(check(longer), corrupt_file, "\"list.1\": expected 1 entries");
}

TEST_F(LoaderTest, WarnsOfTensorsThatNobodyUses) {
  Tensors more = tensors();
  more["encoder.weight"] = more["extra"] = random_tensor(DType::f32, {2}, 7);
  const std::string_view unused[] = {"encoder."};
  check(more, unused);
  ASSERT_EQ(progress_.warnings.size(), 1u);
  EXPECT_THAT(progress_.warnings[0], ::testing::HasSubstr("\"extra\""));
  EXPECT_THAT(progress_.warnings[0], ::testing::Not(::testing::HasSubstr("encoder")));
}

TEST_F(LoaderTest, StopsWhenCancelled) {
  const TensorStore opened = store(tensors());
  WeightLoader loading = loader(opened);
  cancel_.request();
  EXPECT_FLUXQ_ERROR(loading.linear("first", 4, 6), cancelled, "");
}

// A scheme that packs even sizes only.
class EvenScheme final : public Scheme {
 public:
  const SchemeInfo& info() const override {
    static const SchemeInfo info = {"even", "", "f32", "f32", 32, "", ""};
    return info;
  }
  DType stream() const override { return DType::f32; }
  std::optional<std::string> refuses(int64_t, int64_t in) const override {
    if (in % 4 == 0) return std::nullopt;
    return fmt::format("in = {} is not a multiple of 4", in);
  }
  std::vector<PartSpec> layout(int64_t out, int64_t in) const override {
    return plain_.layout(out, in);
  }
  PackedWeight pack(const Tensor& weight, std::string_view name) const override {
    return plain_.pack(weight, name);
  }
  std::vector<float> unpack(const PackedWeight& weight) const override {
    return plain_.unpack(weight);
  }
  std::vector<float> pack_bound(const Tensor& weight) const override {
    return plain_.pack_bound(weight);
  }
  std::unique_ptr<SchemeKernels> on(Kernels& kernels) const override { return plain_.on(kernels); }
  bool runs_on(Device) const override { return true; }

 private:
  RefScheme plain_;
};

TEST_F(LoaderTest, ALayerThatItsSchemeRefusesGetsTheBaselineAndTheReason) {
  const EvenScheme even;
  const Recipe recipe = everywhere(even);
  const std::unique_ptr<Kernels> cpu = make_cpu_kernels(1);
  DeviceSchemes schemes(*cpu);
  const TensorStore opened = store(tensors());
  WeightLoader loading(opened, "part", recipe, schemes, progress_, cancel_);
  loading.linear("second", 4, 10, false);
  ASSERT_EQ(loading.coverage().size(), 1u);
  EXPECT_EQ(loading.coverage()[0].scheme, recipe.baseline().info().name);
  EXPECT_EQ(loading.coverage()[0].reason, "even refuses it: in = 10 is not a multiple of 4");
}

// Packs "on the device", by negating, and refuses to pack on the host.
class DevicePacking final : public Scheme {
 public:
  struct Packer final : SchemeKernels {
    explicit Packer(Kernels& kernels) : linear(kernels) {}
    std::optional<PackedWeight> pack(const Tensor& weight, std::string_view name) override {
      const Tensor part = Tensor::on_host(weight.dtype(), weight.shape());
      for (int64_t i = 0; i < weight.elements(); ++i)
        part.data<bf16>()[i] = bf16(-static_cast<float>(weight.data<bf16>()[i]));
      names.emplace_back(name);
      return PackedWeight{weight.dim(0), weight.dim(1), {part}};
    }
    std::string kernel_name() const override { return "device"; }
    FusedParts fused() const override { return linear.fused(); }
    std::shared_ptr<DeviceWeight> load(const PackedWeight& weight, int64_t begin,
                                       int64_t count) override {
      return linear.load(weight, begin, count);
    }
    Prepared prepare(const Producer& input) override { return linear.prepare(input); }
    void matmul(const Prepared& input, const DeviceWeight& weight, const Epilogue& epilogue,
                const Rows& out) override {
      linear.matmul(input, weight, epilogue, out);
    }
    std::vector<float> dequantize(const Prepared& input) override {
      return linear.dequantize(input);
    }
    testing::RefLinear linear;
    std::vector<std::string> names;
  };

  const SchemeInfo& info() const override {
    static const SchemeInfo info = {"device-packing", "", "", "", 16, "", ""};
    return info;
  }
  std::vector<PartSpec> layout(int64_t out, int64_t in) const override {
    return {{"weight", DType::bf16, {out, in}}};
  }
  PackedWeight pack(const Tensor&, std::string_view name) const override {
    fail(ErrorCode::internal, "{} was packed on the host", name);
  }
  std::vector<float> unpack(const PackedWeight& weight) const override {
    return to_floats(weight.parts[0]);
  }
  std::vector<float> pack_bound(const Tensor&) const override { return {}; }
  std::unique_ptr<SchemeKernels> on(Kernels& kernels) const override {
    return std::make_unique<Packer>(kernels);
  }
  bool runs_on(Device) const override { return true; }
};

// Files whose tensors count how many of them are in memory.
class CountedTensors final : public TensorSource {
 public:
  explicit CountedTensors(const TensorStore& store) : store_(store) {}
  const std::filesystem::path& path() const override { return store_.path(); }
  std::vector<std::string> names() const override { return store_.names(); }
  const TensorEntry* find(std::string_view name) const override { return store_.find(name); }
  Tensor read(std::string_view name, const CancelToken& cancel) const override {
    const Tensor values = converted(store_.read(name, cancel), DType::bf16);
    most_alive = std::max(most_alive, ++alive);
    const std::shared_ptr<void> owner(values.raw(), [this, values](void*) { --alive; });
    return Tensor(DType::bf16, values.shape(), Device::cpu, owner, values.raw());
  }
  const Metadata& metadata() const override { return store_.metadata(); }
  std::vector<std::filesystem::path> files() const override { return store_.files(); }
  const std::vector<std::string>& warnings() const override { return store_.warnings(); }

  mutable int alive = 0, most_alive = 0;

 private:
  const TensorStore& store_;
};

TEST_F(LoaderTest, AWeightIsPackedOnItsDeviceAndGoesBeforeTheNextOneComes) {
  const DevicePacking scheme;
  const Recipe recipe = everywhere(scheme);
  DeviceSchemes schemes(kernels_);
  const Tensors all = tensors();
  const TensorStore opened = store(all);
  const CountedTensors counted(opened);
  WeightLoader loading(counted, "part", recipe, schemes, progress_, cancel_);
  const Linear first = loading.linear("first", 4, 6, false);
  const int64_t columns[] = {3, 7};
  const std::vector<Linear> second = loading.split_linear("second", 4, columns, false);
  EXPECT_EQ(counted.alive, 0);
  EXPECT_EQ(counted.most_alive, 1);
  const auto packer = std::static_pointer_cast<DevicePacking::Packer>(schemes.on_device(scheme));
  EXPECT_EQ(packer->names, (std::vector<std::string>{"part.first.weight", "part.second.weight"}));
  EXPECT_EQ(loading.coverage()[1].kernel, "device");

  // y = -x W^T, the weight rounded to bf16 before it was packed.
  const Tensor x = converted(random_tensor(DType::f32, {1, 1, 6}, 9), DType::bf16);
  const Tensor y = Tensor::on_host(DType::f32, {1, 1, 4});
  Linears(first).run(kernels_, {.x = x}, y);
  const std::vector<float> input = to_floats(x);
  const std::vector<float> weight = to_floats(converted(all.at("first.weight"), DType::bf16));
  for (size_t o = 0; o < 4; ++o) {
    double expected = 0;
    for (size_t i = 0; i < 6; ++i)
      expected -= static_cast<double>(input[i]) * static_cast<double>(weight[o * 6 + i]);
    EXPECT_EQ(y.data<float>()[o], static_cast<float>(expected));
  }
}

// The bundled model: what the plans ask for is what the files hold.
TEST(Plans, AreThoseOfTheBundledModel) {
  const std::filesystem::path model = std::filesystem::path(FLUXQ_SOURCE_DIR) / "models/emoji-flux";
  const auto parameters = [&](const std::string& part) {
    const TensorStore store(model / part);
    int64_t count = 0;
    for (const std::string& name : store.names())
      if (!name.starts_with("encoder.") || part != "vae")
        count += element_count(store.find(name)->shape);
    return count;
  };
  Recorder progress;
  const auto config = [&](const std::string& part) {
    return read_config_file(model / part / "config.json");
  };
  EXPECT_EQ(
      FluxTransformer::plan(parse_flux_config(config("transformer"), "f", progress)).parameters(),
      parameters("transformer"));
  EXPECT_EQ(T5Encoder::plan(parse_t5_config(config("text_encoder_2"), "f", progress)).parameters(),
            parameters("text_encoder_2"));
  EXPECT_EQ(
      ClipTextEncoder::plan(parse_clip_config(config("text_encoder"), "f", progress)).parameters(),
      parameters("text_encoder"));
  EXPECT_EQ(VaeDecoder::plan(parse_vae_config(config("vae"), "f", progress)).parameters(),
            parameters("vae"));
  EXPECT_TRUE(progress.warnings.empty());
}

// FLUX.1: the parameter counts that its authors and the files give.
TEST(Plans, AreThoseOfFlux) {
  FluxConfig config;
  EXPECT_EQ(FluxTransformer::plan(config).parameters(), 11'891'178'560);  // schnell
  config.guidance = true;
  EXPECT_EQ(FluxTransformer::plan(config).parameters(), 11'901'408'320);  // dev
  EXPECT_EQ(T5Encoder::plan(T5Config()).parameters(), 4'762'310'656);
  EXPECT_EQ(ClipTextEncoder::plan(ClipConfig()).parameters(), 123'060'480);
  EXPECT_EQ(VaeDecoder::plan(VaeConfig()).parameters(), 49'545'475);
}

}  // namespace
}  // namespace fluxq
