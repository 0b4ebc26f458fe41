#include "models/stored_weights.h"

#include "checkpoint/tensor_store.h"
#include "checkpoint/writer.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/testing.h"
#include "models/testing.h"

namespace fluxq {
namespace {

using testing::random_tensor;
using testing::same_bytes;

constexpr int64_t kOut = 24, kIn = 256, kRows = 16;

// One layer "x" in bf16, stored packed or plain.
class StoredWeightsTest : public ::testing::Test {
 protected:
  using Tensors = std::vector<std::pair<std::string, Tensor>>;

  static Tensors parts_of(const Scheme& scheme, const Tensor& weight) {
    const PackedWeight packed = scheme.pack(weight, "x.weight");
    const std::vector<PartSpec> layout = scheme.layout(kOut, kIn);
    Tensors tensors;
    for (size_t i = 0; i < layout.size(); ++i)
      tensors.emplace_back(part_tensor_name("x", layout[i].name), packed.parts[i]);
    return tensors;
  }
  TensorStore store(const Tensors& tensors, const Metadata& metadata) {
    save_safetensors(folder_ / "model.safetensors", tensors, metadata);
    return TensorStore(folder_.path());
  }
  static WeightPlan plan() {
    WeightPlan plan;
    plan.linear("x", kOut, kIn, false);
    return plan;
  }
  std::vector<Linear> load(const TensorStore& store, const Recipe& recipe,
                           std::span<const int64_t> columns) {
    WeightLoader loader(store, "part", recipe, schemes_, progress_, cancel_);
    loader.check(plan(), {});
    std::vector<Linear> linears = loader.split_linear("x", kOut, columns, false);
    coverage_ = loader.coverage().at(0);
    return linears;
  }
  // x W^T through the layers, each reading its columns.
  Tensor multiply(const std::vector<Linear>& layers, const Tensor& x) {
    const Tensor out = Tensor::on_host(DType::bf16, {1, kRows, kOut});
    int64_t begin = 0;
    for (const Linear& layer : layers) {
      Epilogue epilogue;
      if (begin > 0) epilogue.residual = out;
      Linears(layer).run(kernels_, {.x = Rows(x).columns(begin, layer.in())}, out, epilogue);
      begin += layer.in();
    }
    return out;
  }

  TempFolder folder_;
  CpuKernels kernels_{2};
  DeviceSchemes schemes_{kernels_};
  Progress progress_;
  CancelToken cancel_;
  LayerCoverage coverage_;
  Tensor weight_ = random_tensor(DType::bf16, {kOut, kIn}, 1, 0.05);
  const std::vector<int64_t> whole_ = {kIn};
};

TEST_F(StoredWeightsTest, LoadLikeWeightsThatArePackedAtLoad) {
  const Tensor x = random_tensor(DType::bf16, {1, kRows, kIn}, 2);
  for (const Scheme* scheme : all_schemes()) {
    if (scheme->stream() != DType::bf16 || !is_packed(*scheme)) continue;
    SCOPED_TRACE(scheme->info().name);
    const Recipe recipe = Recipe::stored(*scheme, {{"part.x", scheme}});
    const Tensor expected = multiply(load(store({{"x.weight", weight_}}, {}), recipe, whole_), x);
    StoredWeights stored;
    stored.add_weight("x", *scheme, kOut, kIn);
    const TensorStore packed = store(parts_of(*scheme, weight_), stored.metadata());
    EXPECT_TRUE(same_bytes(multiply(load(packed, recipe, whole_), x), expected));
    EXPECT_EQ(coverage_.scheme, scheme->info().name);
    const WeightPlan planned = plan();
    const StoredPart part = {"part", planned, packed};
    const std::optional<Recipe> found = stored_recipe({&part, 1});
    ASSERT_TRUE(found);
    EXPECT_EQ(&found->main(), scheme);
    EXPECT_EQ(found->choose("part.x").scheme, scheme);
  }
}

TEST_F(StoredWeightsTest, CannotBePackedAgain) {
  StoredWeights stored;
  stored.add_weight("x", find_scheme("int8dq"), kOut, kIn);
  const TensorStore packed = store(parts_of(find_scheme("int8dq"), weight_), stored.metadata());
  const Recipe other = Recipe::stored(find_scheme("fp8dq"), {{"part.x", &find_scheme("fp8dq")}});
  EXPECT_FLUXQ_ERROR(load(packed, other, whole_), bad_argument, "stored as int8dq");
}

TEST_F(StoredWeightsTest, ArePlainWithoutAHeader) {
  const TensorStore plain = store({{"x.weight", weight_}}, {{"format", "pt"}});
  const WeightPlan planned = plan();
  const StoredPart part = {"part", planned, plain};
  EXPECT_FALSE(stored_recipe({&part, 1}));
  EXPECT_EQ(expected_tensors(plan(), plain).at(0).name, "x.weight");
}

// Smoothing by hand: one input is 2^7 times the others, which costs them int8's steps. With x / 2^7
// there and W * 2^7 the product is the same and its error is not.
TEST_F(StoredWeightsTest, AnInputScaleSmoothsAnOutlier) {
  constexpr int64_t kOutlier = 200;
  const Scheme& scheme = find_scheme("int8dq");
  const Tensor x = random_tensor(DType::bf16, {1, kRows, kIn}, 3);
  Tensor scale = Tensor::on_host(DType::f32, {kIn}), smooth = converted(weight_, DType::f32);
  std::fill_n(scale.data<float>(), kIn, 1.0f);
  scale.data<float>()[kOutlier] = 0x1p-7f;
  for (int64_t r = 0; r < kRows; ++r) {
    bf16& value = x.data<bf16>()[r * kIn + kOutlier];
    value = bf16(static_cast<float>(value) * 0x1p7f);
  }
  // The outlier's own weights are small, so that the plain weight's codes do not suffer from them;
  // `smooth` still has them 2^7 times as large.
  for (int64_t r = 0; r < kOut; ++r) {
    bf16& value = weight_.data<bf16>()[r * kIn + kOutlier];
    value = bf16(static_cast<float>(value) * 0x1p-7f);
  }
  std::vector<double> exact(kRows * kOut, 0.0);
  for (int64_t i = 0; i < kRows * kOut * kIn; ++i) {
    const int64_t r = i / (kOut * kIn), o = i / kIn % kOut, c = i % kIn;
    exact[static_cast<size_t>(r * kOut + o)] +=
        static_cast<double>(static_cast<float>(x.data<bf16>()[r * kIn + c])) *
        static_cast<double>(static_cast<float>(weight_.data<bf16>()[o * kIn + c]));
  }
  const auto error = [&](const Tensor& got) {
    double sum = 0;
    const std::vector<float> values = to_floats(got);
    for (size_t i = 0; i < exact.size(); ++i)
      sum += (values[i] - exact[i]) * (values[i] - exact[i]);
    return std::sqrt(sum);
  };
  const Recipe recipe = Recipe::stored(scheme, {{"part.x", &scheme}});
  StoredWeights plain, smoothed;
  plain.add_weight("x", scheme, kOut, kIn);
  smoothed.add_weight("x", scheme, kOut, kIn, true);
  const double before =
      error(multiply(load(store(parts_of(scheme, weight_), plain.metadata()), recipe, whole_), x));
  Tensors parts = parts_of(scheme, smooth);
  parts.emplace_back(part_tensor_name("x", kInputScalePart), scale);
  const TensorStore opened = store(parts, smoothed.metadata());
  const Tensor after = multiply(load(opened, recipe, whole_), x);
  EXPECT_LT(error(after), before / 8);
  // Each half of a split layer takes its part of the scale.
  const std::vector<int64_t> halves = {128, 128};
  EXPECT_LT(error(multiply(load(opened, recipe, halves), x)), before / 4);
}

}  // namespace
}  // namespace fluxq
