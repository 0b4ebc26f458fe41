// The reference against torch, diffusers and transformers (tools/golden/ops.py).

#include "kernels/ref/ref_kernels.h"

#include <fstream>
#include <map>
#include <sstream>

#include "kernels/ref/values.h"
#include "kernels/testing.h"

namespace fluxq {
namespace {

using testing::within;

/// One case: named tensors of tests/golden/kernels/<name>.txt.
class Golden {
 public:
  explicit Golden(const std::string& name) {
    std::ifstream file(FLUXQ_SOURCE_DIR "/tests/golden/kernels/" + name + ".txt");
    for (std::string line; std::getline(file, line);) read(line);
    if (entries_.empty()) throw std::runtime_error("no golden values: " + name);
  }
  const std::vector<double>& values(const std::string& name) const {
    return entries_.at(name).second;
  }
  float scalar(const std::string& name) const { return static_cast<float>(values(name).at(0)); }
  Tensor tensor(const std::string& name, DType dtype = DType::f32) const {
    const auto& [shape, values] = entries_.at(name);
    return converted(Tensor::from<float>({values.begin(), values.end()}, shape), dtype);
  }

 private:
  void read(const std::string& line) {
    std::istringstream fields(line);
    std::string name, dims;
    fields >> name >> dims;
    auto& [shape, values] = entries_[name];
    std::istringstream dim_fields(dims);
    for (std::string dim; std::getline(dim_fields, dim, ',');) shape.push_back(std::stoll(dim));
    for (double value; fields >> value;) values.push_back(value);
  }
  std::map<std::string, std::pair<Shape, std::vector<double>>> entries_;
};

/// One rounding to f32, and what two orders of summing in double may differ by.
std::vector<double> double_tolerance(const std::vector<double>& expected) {
  std::vector<double> tolerance;
  for (double v : expected) tolerance.push_back(0x1p-24 * std::abs(v) + 1e-12);
  return tolerance;
}

/// Where torch computes in f32: `roundings` of values no larger than `magnitude`.
std::vector<double> float_tolerance(size_t count, double magnitude, int roundings) {
  return std::vector<double>(count, roundings * 0x1p-24 * magnitude);
}

void expect_equal(const Tensor& got, const std::vector<double>& expected) {
  EXPECT_TRUE(within(testing::values(got), expected, double_tolerance(expected)));
}

class Ref : public ::testing::Test {
 protected:
  RefKernels ref_;

  Tensor produce(const Producer& producer) {
    const Rows& x = producer.x;
    Tensor out = Tensor::on_host(DType::f32, {x.batch, x.rows, x.cols});
    ref_.produce(producer, out);
    return out;
  }
};

TEST_F(Ref, LayerNorm) {
  const Golden golden("layer_norm");
  const Tensor x = golden.tensor("x"), shift = golden.tensor("shift"),
               scale = golden.tensor("scale");
  Producer norm{.kind = Producer::Kind::layer_norm, .x = x, .eps = 1e-6f};
  expect_equal(produce(norm), golden.values("plain"));
  norm.shift = shift;
  norm.scale = scale;
  expect_equal(produce(norm), golden.values("modulated"));
  expect_equal(produce({.kind = Producer::Kind::layer_norm,
                        .x = x,
                        .weight = golden.tensor("weight"),
                        .bias = golden.tensor("bias"),
                        .eps = 1e-5f}),
               golden.values("affine"));
}

TEST_F(Ref, RmsNorm) {
  const Golden golden("rms_norm");
  const Tensor x = golden.tensor("x");
  const Tensor out = produce(
      {.kind = Producer::Kind::rms_norm, .x = x, .weight = golden.tensor("weight"), .eps = 1e-6f});
  expect_equal(out, golden.values("out"));
  const std::vector<double>& t5 = golden.values("t5");
  EXPECT_TRUE(within(testing::values(out), t5, float_tolerance(t5.size(), 4, 8)));
}

TEST_F(Ref, Activations) {
  const Golden golden("activations");
  const Tensor x = golden.tensor("x"), factor = golden.tensor("factor");
  const std::pair<Act, const char*> acts[] = {{Act::none, "x"},
                                              {Act::gelu_tanh, "gelu_tanh"},
                                              {Act::gelu_erf, "gelu_erf"},
                                              {Act::quick_gelu, "quick_gelu"},
                                              {Act::relu, "relu"},
                                              {Act::silu, "silu"}};
  for (const auto& [act, name] : acts) {
    SCOPED_TRACE(name);
    expect_equal(produce({.x = x, .act = act}), golden.values(name));
  }
  expect_equal(produce({.x = x, .act = Act::gelu_tanh, .factor = factor}), golden.values("gated"));
}

TEST_F(Ref, InputScaleMultipliesTheRoundedValue) {
  const Tensor x = Tensor::from<float>({1, 2}, {1, 2}), scale = Tensor::from<float>({3, 5}, {2});
  expect_equal(produce({.x = x, .input_scale = scale}), {3, 10});
  // In bf16 (1 + 2^-7)^2 rounds to 1 + 2^-6; times 1.25 that is a tie, and goes down to 1.265625.
  // Rounded only at the end it would lie above the tie, and go up.
  const Tensor y = Tensor::from<bf16>({bf16(1 + 0x1p-7f)}, {1, 1});
  const Tensor out =
      produce({.x = y, .factor = y, .input_scale = Tensor::from<float>({1.25f}, {1})});
  expect_equal(out, {1.265625});
}

TEST_F(Ref, Epilogue) {
  const Golden golden("epilogue");
  const Tensor acc = golden.tensor("acc"), gate = golden.tensor("gate"),
               out = golden.tensor("residual");
  ref_.apply({.bias = golden.tensor("bias"), .act = Act::gelu_tanh, .gate = gate, .residual = out},
             acc, out);
  expect_equal(out, golden.values("out"));
}

TEST_F(Ref, Attention) {
  const Golden golden("attention");
  const Tensor q = golden.tensor("q"), k = golden.tensor("k"), v = golden.tensor("v");
  const Tensor out = Tensor::on_host(DType::f32, q.shape());
  Attention args{.q = q, .k = k, .v = v, .out = out, .heads = 2, .scale = golden.scalar("scale")};
  // The scale is a float here and a double in torch: scores of up to 8 move by 8 * 2^-24.
  const std::vector<double> tolerance = float_tolerance(golden.values("plain").size(), 4, 16);
  ref_.attention(args);
  EXPECT_TRUE(within(testing::values(out), golden.values("plain"), tolerance));
  args.k = args.k.middle(0, 5);
  args.v = args.v.middle(0, 5);
  args.causal = true;
  ref_.attention(args);
  EXPECT_TRUE(within(testing::values(out), golden.values("causal"), tolerance));
  args = {.q = q, .k = k, .v = v, .out = out, .heads = 2, .bias = golden.tensor("bias")};
  ref_.attention(args);
  expect_equal(out, golden.values("biased"));
}

TEST_F(Ref, QkNormRope) {
  const Golden golden("qk_norm_rope");
  for (DType stream : {DType::f32, DType::bf16}) {
    const Tensor q = golden.tensor("q", stream), k = golden.tensor("k", stream);
    ref_.qk_norm_rope(q, k, golden.tensor("q_weight", stream), golden.tensor("k_weight", stream),
                      golden.tensor("rope"), 1e-6f);
    for (const auto& [got, name] : {std::pair{q, "q"}, std::pair{k, "k"}}) {
      SCOPED_TRACE(name);
      if (stream == DType::f32) {
        const std::vector<double>& expected = golden.values(std::string(name) + "_f32");
        EXPECT_TRUE(within(testing::values(got), expected, float_tolerance(expected.size(), 8, 8)));
      } else {
        // The same bits as torch's bf16, but for sums that its f32 puts on another side of a tie:
        // so the norm is rounded to bf16 before the rotation, as torch does.
        const std::vector<double> ours = testing::values(got);
        const std::vector<double> theirs =
            testing::values(golden.tensor(std::string(name) + "_bf16", stream));
        ASSERT_EQ(ours.size(), theirs.size());
        int same = 0;
        for (size_t i = 0; i < ours.size(); ++i) same += ours[i] == theirs[i];
        EXPECT_GE(same, 0.99 * static_cast<double>(ours.size()));
      }
    }
  }
}

TEST_F(Ref, Embed) {
  const Golden golden("embed");
  const std::vector<double>& ids = golden.values("ids");
  const Tensor id_tensor = Tensor::from<int32_t>({ids.begin(), ids.end()}, {2, 3});
  const Tensor out = Tensor::on_host(DType::f32, {2, 3, 6});
  ref_.embed(id_tensor, golden.tensor("table"), {}, out);
  expect_equal(out, golden.values("plain"));
  ref_.embed(id_tensor, golden.tensor("table"), golden.tensor("positions"), out);
  expect_equal(out, golden.values("placed"));
  id_tensor.data<int32_t>()[4] = 11;
  EXPECT_THROW(ref_.embed(id_tensor, golden.tensor("table"), {}, out), Error);
}

TEST_F(Ref, Conv) {
  const Golden golden("conv");
  const Tensor x = golden.tensor("x"), bias = golden.tensor("bias");
  const auto three = ref_.load_conv(golden.tensor("three"), bias, DType::f32, false);
  const auto doubling = ref_.load_conv(golden.tensor("three"), bias, DType::f32, true);
  const auto one = ref_.load_conv(golden.tensor("one"), bias, DType::f32, false);
  const Tensor out = Tensor::on_host(DType::f32, {2, 4, 5, 4});
  ref_.conv2d(x, *three, {}, out);
  expect_equal(out, golden.values("out_three"));
  ref_.conv2d(x, *one, {}, out);
  expect_equal(out, golden.values("out_one"));
  ref_.conv2d(x, *three, golden.tensor("residual"), out);
  expect_equal(out, golden.values("out_residual"));
  const Tensor large = Tensor::on_host(DType::f32, {2, 8, 10, 4});
  ref_.conv2d(x, *doubling, {}, large);
  expect_equal(large, golden.values("out_upsampled"));
}

TEST_F(Ref, GroupNorm) {
  const Golden golden("group_norm");
  const Tensor x = golden.tensor("x"), weight = golden.tensor("weight"),
               bias = golden.tensor("bias");
  const Tensor out = Tensor::on_host(DType::f32, x.shape());
  ref_.group_norm(x, 4, weight, bias, 1e-6f, false, out);
  expect_equal(out, golden.values("out"));
  ref_.group_norm(x, 4, weight, bias, 1e-6f, true, out);
  expect_equal(out, golden.values("silu"));
}

TEST_F(Ref, UnpackLatents) {
  const Golden golden("latents");
  const Tensor out = Tensor::on_host(DType::f32, {2, 6, 4, 5}), packed = golden.tensor("packed");
  ref_.unpack_latents(packed, golden.scalar("scaling"), golden.scalar("shift"), out);
  // scaling and shift are floats here and doubles in torch: one more rounding of each.
  const std::vector<double>& expected = golden.values("out");
  EXPECT_TRUE(within(testing::values(out), expected, float_tolerance(expected.size(), 10, 3)));
}

TEST_F(Ref, EulerStep) {
  const Golden golden("euler");
  const Tensor latents = golden.tensor("latents"), velocity = golden.tensor("velocity");
  ref_.euler_step(velocity, golden.scalar("sigma"), golden.scalar("sigma_next"), latents);
  const std::vector<double>& expected = golden.values("out");
  EXPECT_TRUE(within(testing::values(latents), expected, float_tolerance(expected.size(), 4, 4)));
}

TEST_F(Ref, AllFinite) {
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_TRUE(ref_.all_finite(x));
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    x.data<float>()[5] = bad;
    EXPECT_FALSE(ref_.all_finite(x));
    EXPECT_TRUE(ref_.all_finite(Rows(x).columns(0, 2)));
  }
}

TEST(RefRounding, ToBf16RoundsOnce) {
  const double tie = 1 + 0x1p-8;  // between 1 and bf16's next number
  EXPECT_EQ(ref::rounded(tie, DType::bf16), 1);
  EXPECT_EQ(ref::rounded(tie + 0x1p-40, DType::bf16), 1 + 0x1p-7);  // float alone would see the tie
  EXPECT_EQ(ref::rounded(-tie - 0x1p-40, DType::bf16), -1 - 0x1p-7);
  EXPECT_EQ(ref::rounded(3 * 0x1p-8 + 1 - 0x1p-40, DType::bf16), 1 + 0x1p-7);
  EXPECT_TRUE(std::isnan(ref::rounded(NAN, DType::bf16)));
  EXPECT_TRUE(std::isinf(ref::rounded(1e300, DType::bf16)));
}

}  // namespace
}  // namespace fluxq
