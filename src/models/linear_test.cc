#include "models/linear.h"

#include "kernels/ref/ref_kernels.h"
#include "kernels/testing.h"
#include "models/testing.h"

namespace fluxq {
namespace {

using testing::random_tensor;
using testing::RefLinear;
using testing::RefScheme;
using testing::same_bytes;
using testing::values;
using testing::within;

constexpr int64_t kIn = 6, kOut = 4, kRows = 3, kBatch = 2, kHeads = 2;

class LinearsTest : public ::testing::Test {
 protected:
  Linear layer(const std::shared_ptr<RefLinear>& scheme, uint64_t seed) {
    const PackedWeight packed =
        RefScheme().pack(random_tensor(DType::f32, {kOut, kIn}, seed), "layer");
    return {
        scheme, scheme->load(packed, 0, kIn), random_tensor(DType::f32, {kOut}, seed + 100), {}};
  }
  Tensor result() { return Tensor::on_host(DType::f32, {kBatch, kRows, kOut}); }

  RefKernels kernels_;
  Tensor x_ = random_tensor(DType::f32, {kBatch, kRows, kIn}, 1);
};

TEST_F(LinearsTest, PreparesTheInputOncePerScheme) {
  const auto a = std::make_shared<RefLinear>(kernels_), b = std::make_shared<RefLinear>(kernels_);
  const Linears layers(std::vector{layer(a, 1), layer(b, 2), layer(a, 3)});
  const Tensor y1 = result(), y2 = result(), y3 = result();
  layers.run(kernels_, {.x = x_}, {{y1, {}}, {y2, {}}, {y3, {}}});
  EXPECT_EQ(a->prepared, 1);
  EXPECT_EQ(b->prepared, 1);
  EXPECT_EQ(a->multiplied, 2);
  const Tensor alone = result();
  Linears(layer(a, 3)).run(kernels_, {.x = x_}, alone);
  EXPECT_TRUE(same_bytes(y3, alone));
  EXPECT_FALSE(same_bytes(y1, y3));
}

TEST_F(LinearsTest, InputsWithOtherScalesArePreparedApart) {
  const auto scheme = std::make_shared<RefLinear>(kernels_);
  const PackedWeight packed = RefScheme().pack(random_tensor(DType::f32, {kOut, kIn}, 5), "layer");
  const Tensor twice = Tensor::from(std::vector<float>(kIn, 2.0f), {kIn});
  const Linear plain(scheme, scheme->load(packed, 0, kIn), {}, {});
  const Linear scaled(scheme, scheme->load(packed, 0, kIn), {}, twice);
  const Tensor y1 = result(), y2 = result(), y3 = result();
  Linears(std::vector{plain, scaled, scaled})
      .run(kernels_, {.x = x_}, {{y1, {}}, {y2, {}}, {y3, {}}});
  EXPECT_EQ(scheme->prepared, 2);
  for (int64_t i = 0; i < y1.elements(); ++i)
    EXPECT_FLOAT_EQ(y2.data<float>()[i], 2 * y1.data<float>()[i]);
  EXPECT_TRUE(same_bytes(y2, y3));
}

TEST_F(LinearsTest, WhatAKernelDoesNotFuseFollowsIt) {
  const Tensor gate = random_tensor(DType::f32, {kBatch, 1, kOut}, 7);
  const Tensor residual = random_tensor(DType::f32, {kBatch, kRows, kOut}, 8);
  const auto run = [&](FusedParts fused) {
    const auto scheme = std::make_shared<RefLinear>(kernels_, fused);
    const Tensor out = converted(residual, DType::f32);  // in place, as the models do
    Linears(layer(scheme, 9))
        .run(kernels_, {.x = x_}, out, {.act = Act::gelu_tanh, .gate = gate, .residual = out});
    return out;
  };
  const Tensor expected = run({true, true, true, true});
  for (int parts = 0; parts < 16; ++parts) {
    const FusedParts fused = {(parts & 1) != 0, (parts & 2) != 0, (parts & 4) != 0,
                              (parts & 8) != 0};
    // Each value passes through float32 once more between kernel and rest.
    const Tensor got = run(fused);
    EXPECT_TRUE(within(values(got), values(expected), std::vector<double>(24, 1e-6))) << parts;
  }
}

TEST_F(LinearsTest, OneKernelForAllIsToldOfTheHeads) {
  const Tensor gate = random_tensor(DType::f32, {kBatch, 1, 3 * kOut}, 7);
  const Tensor out = Tensor::on_host(DType::f32, {kBatch, kRows, 3 * kOut});
  constexpr int64_t kDim = kOut / kHeads;
  JointAttention attention;
  attention.rope = random_tensor(DType::f32, {kRows, kDim / 2, 2}, 8);
  attention.streams = {{.first = 0,
                        .count = kRows,
                        .q_weight = random_tensor(DType::f32, {kDim}, 9),
                        .k_weight = random_tensor(DType::f32, {kDim}, 10)}};
  // What a layer of three that are joined for `heads` heads, or not for 0, is told.
  const auto told = [&](FusedParts fused, const Rows& gated, int64_t heads = kHeads) {
    const auto scheme = std::make_shared<RefLinear>(kernels_, fused);
    attention.streams[0].normed = false;
    Epilogue epilogue;
    epilogue.gate = gated;
    epilogue.heads = {&attention, 0};
    Linears(Linear::qkv(kernels_, {layer(scheme, 1), layer(scheme, 2), layer(scheme, 3)}, heads))
        .run(kernels_, {.x = x_}, out, epilogue);
    EXPECT_EQ(scheme->joined_heads, heads);
    EXPECT_EQ(scheme->multiplied, heads == 0 ? 3 : 1);
    EXPECT_EQ(attention.streams[0].normed, scheme->attention != nullptr);
    return scheme->attention;
  };
  EXPECT_EQ(told({.bias = true, .heads = true}, {}), &attention);
  EXPECT_EQ(told({.bias = true, .gate = true, .heads = true}, gate), &attention);
  EXPECT_EQ(told({.bias = true}, {}), nullptr) << "a kernel that cannot";
  EXPECT_EQ(told({.heads = true}, {}), nullptr) << "a bias follows";
  EXPECT_EQ(told({.bias = true, .heads = true}, gate), nullptr) << "a gate follows";
  EXPECT_EQ(told({.bias = true, .heads = true}, {}, 0), nullptr) << "three products";
}

TEST_F(LinearsTest, QkvIsItsLayersSideBySide) {
  const auto scheme = std::make_shared<RefLinear>(kernels_);
  const Tensor all = Tensor::on_host(DType::f32, {kBatch, kRows, 3 * kOut});
  Linears(Linear::qkv(kernels_, {layer(scheme, 1), layer(scheme, 2), layer(scheme, 3)}, 2))
      .run(kernels_, {.x = x_}, all);
  for (int64_t i = 0; i < 3; ++i) {
    const Tensor alone = result(), part = result();
    Linears(layer(scheme, static_cast<uint64_t>(i + 1))).run(kernels_, {.x = x_}, alone);
    kernels_.produce({.x = Rows(all).columns(i * kOut, kOut)}, part);
    EXPECT_TRUE(same_bytes(part, alone)) << i;
  }
}

TEST_F(LinearsTest, ScratchIsGivenBack) {
  const auto scheme = std::make_shared<RefLinear>(kernels_, FusedParts{});
  const Linears layers(layer(scheme, 9));
  const Tensor out = result();
  const void* before = kernels_.arena().take(DType::f32, {1}).raw();
  Arena::Scope scope(kernels_.arena());
  const void* first = kernels_.arena().take(DType::f32, {1}).raw();
  EXPECT_NE(before, first);
  layers.run(kernels_, {.x = x_}, out, {.residual = out});
  const void* second = kernels_.arena().take(DType::f32, {1}).raw();
  EXPECT_EQ(static_cast<const std::byte*>(second) - static_cast<const std::byte*>(first),
            static_cast<const std::byte*>(first) - static_cast<const std::byte*>(before));
}

TEST_F(LinearsTest, ShapesThatDoNotFitAreRefused) {
  const auto scheme = std::make_shared<RefLinear>(kernels_);
  const Linears layers(layer(scheme, 1));
  const Tensor narrow = random_tensor(DType::f32, {kBatch, kRows, kIn - 1}, 1);
  const Tensor out = result(), one_row = Tensor::on_host(DType::f32, {kBatch, 1, kOut});
  EXPECT_FLUXQ_ERROR(layers.run(kernels_, {.x = narrow}, out), internal, "linear 6 -> 4");
  EXPECT_FLUXQ_ERROR(layers.run(kernels_, {.x = x_}, one_row), internal, "linear 6 -> 4");
  EXPECT_FLUXQ_ERROR(layers.run(kernels_, {.x = x_}, {{out, {}}, {out, {}}}), internal,
                     "expected 1 targets, got 2");
  EXPECT_FLUXQ_ERROR(Linears(Linear()).run(kernels_, {.x = x_}, out), internal, "linear 0 -> 0");
}

}  // namespace
}  // namespace fluxq
