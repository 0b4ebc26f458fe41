#include "pipeline/distort.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/test_support.h"
#include "kernels/cpu/cpu_kernels.h"
#include "pipeline/quantize.h"

namespace fluxq {
namespace {

const std::filesystem::path kModel = FLUXQ_SOURCE_DIR "/models/emoji-flux";

// ---- the probe, on hand-made layers

/// bf16 that cannot hold more than +-1.
class Clipping final : public Scheme {
 public:
  const SchemeInfo& info() const override { return info_; }
  std::vector<PartSpec> layout(int64_t out, int64_t in) const override {
    return plain_.layout(out, in);
  }
  PackedWeight pack(const Tensor& weight, std::string_view name) const override {
    std::vector<float> values = to_floats(weight);
    for (float& value : values) value = std::clamp(value, -1.0f, 1.0f);
    return plain_.pack(Tensor::from(values, weight.shape()), name);
  }
  std::vector<float> unpack(const PackedWeight& weight) const override {
    return plain_.unpack(weight);
  }
  std::vector<float> pack_bound(const Tensor& weight) const override {
    return plain_.pack_bound(weight);
  }
  std::unique_ptr<SchemeKernels> on(Kernels& kernels) const override { return plain_.on(kernels); }
  bool runs_on(Device device) const override { return plain_.runs_on(device); }

 private:
  const Scheme& plain_ = find_scheme("bf16");
  SchemeInfo info_ = {"clipping", "", "bf16", "bf16", 16, "", ""};
};

/// One layer through the probe: what it noted, and the product that it gave.
struct Probed {
  LayerDistortion layer;
  std::vector<float> out;
};

Probed probe(const Scheme& studied, const Tensor& weight, const Tensor& x) {
  const std::unique_ptr<Kernels> kernels = make_cpu_kernels(2);
  const ProbeScheme scheme(find_scheme("bf16"), studied);
  const std::unique_ptr<SchemeKernels> on_cpu = scheme.on(*kernels);
  const auto loaded = on_cpu->load(scheme.pack(weight, "part.layer.weight"), 0, weight.dim(1));
  const Tensor out = Tensor::on_host(DType::f32, {1, x.dim(0), weight.dim(0)});
  Producer input;
  input.x = x;
  on_cpu->matmul(on_cpu->prepare(input), *loaded, {}, out);
  return {scheme.layers().front(), to_floats(out)};
}

Tensor bf16_tensor(const std::vector<float>& values, Shape shape) {
  return converted(Tensor::from(values, std::move(shape)), DType::bf16);
}

TEST(ProbeScheme, NotesWhatASchemeMakesOfALayer) {
  // int8dq: the scale is 1 for row 0 and the token, 2 for row 1; ties go to the even code, and the
  // largest code is 127.
  const Tensor weight = bf16_tensor({127.5f, 0.25f, -3, 2.5f,  //
                                     0, 255, 1, -5},
                                    {2, 4});
  const Tensor x = bf16_tensor({127.5f, 0.25f, 0, 10}, {1, 4});
  const auto [layer, out] = probe(find_scheme("int8dq"), weight, x);
  EXPECT_EQ(layer.layer, "part.layer");
  EXPECT_EQ(layer.scheme, "int8dq");
  EXPECT_EQ(layer.out, 2);
  EXPECT_EQ(layer.in_count, 4);
  // Stored: {127, 0, -3, 2} and {0, 254, 0, -4}.
  EXPECT_EQ(layer.zeroed, 2);
  EXPECT_EQ(layer.saturated, 0);
  EXPECT_DOUBLE_EQ(layer.weight.noise, (0.25 + 0.0625 + 0.25) + (1 + 1 + 1));
  EXPECT_DOUBLE_EQ(layer.weight.signal, (16256.25 + 0.0625 + 9 + 6.25) + (65025 + 1 + 25));
  EXPECT_EQ(layer.inputs, 4);
  EXPECT_EQ(layer.inputs_zeroed, 1);
  EXPECT_DOUBLE_EQ(layer.input.noise, 0.25 + 0.0625);
  // The baseline's product goes on; the studied one is {127 * 127 + 20, -40}.
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0], 16281.3125f);
  EXPECT_EQ(out[1], 13.75f);
  EXPECT_DOUBLE_EQ(layer.output.noise, 132.3125 * 132.3125 + 53.75 * 53.75);
}

TEST(ProbeScheme, CountsWhatLiesBeyondTheFormat) {
  const Tensor weight = bf16_tensor({0.5f, 1, 1.5f, -2}, {1, 4});
  const auto [layer, out] = probe(Clipping(), weight, bf16_tensor({1, 1, 1, 1}, {1, 4}));
  EXPECT_EQ(layer.saturated, 2);
  EXPECT_EQ(layer.zeroed, 0);
  EXPECT_DOUBLE_EQ(layer.weight.noise, 0.25 + 1);
  EXPECT_DOUBLE_EQ(layer.output.noise, 0.25);  // 1.5 instead of 1
  EXPECT_DOUBLE_EQ(layer.input.noise, 0);
}

TEST(Deviation, IsInfiniteOnlyWhereNothingDiffers) {
  Deviation none, some;
  none.add(3, 3);
  some.add(10, 11);
  EXPECT_EQ(none.relative(), 0);
  EXPECT_EQ(none.snr_db(), INFINITY);
  EXPECT_DOUBLE_EQ(some.relative(), 0.1);
  EXPECT_NEAR(some.snr_db(), 20, 1e-9);
}

// ---- a generation

class DistortTest : public ::testing::Test {
 protected:
  std::vector<LayerDistortion> study(const std::filesystem::path& path,
                                     const std::vector<std::string>& names) {
    std::vector<const Scheme*> schemes;
    for (const std::string& name : names) schemes.push_back(&find_scheme(name));
    const std::vector<Request> requests = {request()};
    return distort(read_model_folder(path, progress_), schemes, {}, requests, *kernels_, progress_,
                   cancel_);
  }
  static Request request() {
    return {.prompt = "red apple",
            .seeds = {1, 2},
            .steps = 2,
            .width = 64,
            .height = 64,
            .guidance = 0,
            .max_text_tokens = 16};
  }

  std::unique_ptr<Kernels> kernels_ = make_cpu_kernels(2);
  Progress progress_;
  CancelToken cancel_;
};

TEST_F(DistortTest, FindsNothingWhereNothingIsLost) {
  for (const LayerDistortion& layer : study(kModel, {"bf16"})) {
    EXPECT_EQ(layer.weight.noise, 0) << layer.layer;
    EXPECT_EQ(layer.output.noise, 0) << layer.layer;
    EXPECT_GT(layer.output.signal, 0) << layer.layer;
  }
}

TEST_F(DistortTest, SortsWorstFirstAndTellsSchemesApart) {
  const std::vector<LayerDistortion> layers =
      study(kModel, {"int8dq", "int4wo", "sparse24-int8dq"});
  std::map<std::string, double> energy;
  std::set<std::string> names;
  for (const LayerDistortion& layer : layers) {
    energy[layer.scheme] += layer.output.noise;
    names.insert(layer.layer);
    EXPECT_GT(layer.weight.noise, 0) << layer.layer;
    EXPECT_EQ(layer.saturated, 0) << layer.layer;
    EXPECT_EQ(layer.input.noise == 0, layer.scheme == "int4wo") << layer.layer;
    const double zeroed = static_cast<double>(layer.zeroed) / double(layer.out * layer.in);
    if (layer.scheme == "sparse24-int8dq") {
      EXPECT_NEAR(zeroed, 0.5, 0.02) << layer.layer;
    }
  }
  EXPECT_TRUE(std::ranges::is_sorted(layers, std::greater(), [](const LayerDistortion& layer) {
    return layer.output.relative();
  }));
  EXPECT_LT(10 * energy["int8dq"], energy["int4wo"]);
  EXPECT_LT(energy["int4wo"], energy["sparse24-int8dq"]);
  EXPECT_TRUE(names.contains("transformer.transformer_blocks.1.ff_context.net.2"));
  EXPECT_FALSE(names.contains("transformer.proj_out"));
  // A single block's last layer reads two buffers: a line for each.
  const auto halves = std::ranges::count_if(layers, [](const LayerDistortion& layer) {
    return layer.scheme == "int8dq" &&
           layer.layer == "transformer.single_transformer_blocks.0.proj_out";
  });
  EXPECT_EQ(halves, 2);
}

TEST_F(DistortTest, StudiesWithoutDisturbing) {
  const ModelFolder model = read_model_folder(kModel, progress_);
  const ProbeScheme probe(find_scheme("bf16"), find_scheme("int4wo"));
  TextToImage studied(model, Recipe::standard(probe), *kernels_, progress_, cancel_);
  TextToImage plain(model, Recipe::standard(find_scheme("bf16")), *kernels_, progress_, cancel_);
  const fluxq::Run a = studied.run(request(), progress_, cancel_),
                   b = plain.run(request(), progress_, cancel_);
  EXPECT_EQ(a.images[1].rgb, b.images[1].rgb);
}

TEST_F(DistortTest, RefusesOtherStreamsAndPackedModels) {
  EXPECT_FLUXQ_ERROR(study(kModel, {"f32"}), bad_argument, "scheme f32 computes in F32");
  const TempFolder folder;
  quantize_folder(read_model_folder(kModel, progress_), Recipe::standard(find_scheme("int8dq")),
                  folder / "packed", progress_, cancel_);
  EXPECT_FLUXQ_ERROR(study(folder / "packed", {"int8dq"}), bad_argument, "cannot be packed again");
}

}  // namespace
}  // namespace fluxq
