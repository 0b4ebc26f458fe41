#include <cstring>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/ref/ref_kernels.h"
#include "kernels/testing.h"

namespace fluxq {
namespace {

using testing::random_tensor, testing::same_bytes, testing::within;

struct Case {
  int64_t batch, heads, dim, queries, keys;
  bool causal, bias;
};

// FLUX, T5, CLIP, the VAE's middle, and ragged ones.
const Case kCases[] = {{2, 2, 128, 40, 40, false, false}, {1, 3, 64, 20, 20, false, true},
                       {2, 2, 64, 77, 77, true, false},   {1, 1, 96, 130, 130, false, false},
                       {3, 2, 10, 5, 33, false, false},   {1, 2, 7, 1, 1, true, true},
                       {1, 1, 32, 70, 300, false, false}};

struct Operands {
  Operands(const Case& c, DType stream)
      : q(random_tensor(stream, {c.batch, c.queries, c.heads * c.dim}, 1)),
        k(random_tensor(stream, {c.batch, c.keys, c.heads * c.dim}, 2)),
        v(random_tensor(stream, {c.batch, c.keys, c.heads * c.dim}, 3)),
        out(Tensor::on_host(stream, {c.batch, c.queries, c.heads * c.dim})) {
    args.q = q, args.k = k, args.v = v, args.out = out;
    args.heads = c.heads;
    args.scale = 1.0f / std::sqrt(static_cast<float>(c.dim));
    args.causal = c.causal;
    if (c.bias) args.bias = random_tensor(DType::f32, {c.heads, c.queries, c.keys}, 4);
  }
  Tensor q, k, v, out;
  Attention args;
};

TEST(CpuAttention, IsTheReferences) {
  CpuKernels kernels(2);
  for (const Case& c : kCases)
    for (const DType stream : {DType::f32, DType::bf16}) {
      SCOPED_TRACE(fmt::format("{} heads of {}, {} queries, {} keys, {}", c.heads, c.dim, c.queries,
                               c.keys, dtype_name(stream)));
      Operands operands(c, stream);
      const Attention& args = operands.args;
      make_ref_kernels()->attention(args);
      const std::vector<double> expected = testing::values(operands.out);
      kernels.attention(args);
      // A weight is e^score: a score's error, of its `dim` products, and the weight's own rounding
      // to the stream count; values are about 4 at most.
      const double weight_error = stream == DType::bf16 ? 0x1p-8 : 20 * 0x1p-24;
      const double tolerance =
          4 * (weight_error + 4 * static_cast<double>(c.dim + c.keys) * 0x1p-24) +
          4 * testing::half_ulp(stream);
      EXPECT_TRUE(within(testing::values(operands.out), expected,
                         std::vector<double>(expected.size(), tolerance)));
    }
}

TEST(CpuAttention, BytesDoNotDependOnThreadsOrBatch) {
  CpuKernels one(1), five(5);
  for (const DType stream : {DType::f32, DType::bf16}) {
    const Operands operands({3, 2, 64, 75, 75, false, true}, stream);
    one.attention(operands.args);
    const Tensor expected = converted(operands.out, stream);
    five.attention(operands.args);
    EXPECT_TRUE(same_bytes(operands.out, expected));
    for (int64_t b = 0; b < 3; ++b) {
      Attention alone = operands.args;
      alone.q = alone.q.item(b), alone.k = alone.k.item(b), alone.v = alone.v.item(b);
      const Tensor out = Tensor::on_host(stream, {1, 75, 128});
      alone.out = out;
      five.attention(alone);
      EXPECT_TRUE(same_bytes(out, expected.slice(b, b + 1)));
    }
  }
}

TEST(CpuAttention, ReadsAndWritesWindowsOfOneBuffer) {
  CpuKernels kernels(2);
  constexpr int64_t kTokens = 30, kDim = 64;
  for (const DType stream : {DType::f32, DType::bf16}) {
    const Operands dense({2, 2, kDim, kTokens, kTokens, false, false}, stream);
    kernels.attention(dense.args);
    // [batch, tokens + 2, q | k | v | out | 8]
    const int64_t width = 2 * kDim;
    const Tensor joint = Tensor::on_host(stream, {2, kTokens + 2, 4 * width + 8});
    std::memset(joint.raw(), 0x5a, joint.bytes());
    const Tensor untouched = converted(joint, stream);
    const Rows inner = Rows(joint).middle(1, kTokens);
    Attention args = dense.args;
    Rows* windows[] = {&args.q, &args.k, &args.v, &args.out};
    for (int64_t w = 0; w < 4; ++w) {
      const Rows from = *windows[w];
      *windows[w] = inner.columns(w * width, width);
      for (int64_t b = 0; w < 3 && b < 2; ++b)
        for (int64_t r = 0; r < kTokens; ++r)
          std::memcpy(windows[w]->at(b, r), from.at(b, r), width * dtype_bytes(stream));
    }
    kernels.attention(args);
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t r = 0; r < kTokens; ++r) {
        const int64_t bytes = width * dtype_bytes(stream);
        EXPECT_EQ(std::memcmp(args.out.at(b, r), dense.args.out.at(b, r), bytes), 0);
        std::memset(inner.at(b, r), 0x5a, 4 * bytes);
      }
    EXPECT_TRUE(same_bytes(joint, untouched));
  }
}

TEST(CpuAttention, ANanStaysInItsQuery) {
  CpuKernels kernels(2);
  for (const DType stream : {DType::f32, DType::bf16}) {
    Operands operands({1, 1, 16, 20, 20, false, false}, stream);
    const Tensor floats = converted(operands.q, DType::f32);
    floats.data<float>()[3 * 16 + 2] = NAN;
    const Tensor q = converted(floats, stream);
    operands.args.q = q;
    kernels.attention(operands.args);
    const std::vector<double> values = testing::values(operands.out);
    for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(std::isnan(values[i]), i / 16 == 3) << i;
  }
}

TEST(CpuQkNormRope, IsTheReferencesOnWindows) {
  CpuKernels kernels(2);
  for (const DType stream : {DType::f32, DType::bf16}) {
    constexpr int64_t kDim = 24, kRows = 50, kWidth = 3 * kDim;
    const Tensor joint = random_tensor(stream, {2, kRows + 4, 2 * kWidth + 6}, 1, 3);
    const Tensor expected = converted(joint, stream);
    const Tensor q_weight = random_tensor(stream, {kDim}, 2),
                 k_weight = random_tensor(stream, {kDim}, 3);
    const Tensor rope = random_tensor(DType::f32, {kRows, kDim / 2, 2}, 4, 0.5);
    auto q = [&](const Tensor& t) { return Rows(t).middle(3, kRows).columns(1, kWidth); };
    auto k = [&](const Tensor& t) { return Rows(t).middle(3, kRows).columns(kWidth + 2, kWidth); };
    make_ref_kernels()->qk_norm_rope(q(expected), k(expected), q_weight, k_weight, rope, 1e-6f);
    kernels.qk_norm_rope(q(joint), k(joint), q_weight, k_weight, rope, 1e-6f);
    // The normed value may round to the stream's other neighbour: one step of values up to 10.
    const double tolerance = stream == DType::bf16 ? 3 * 10 * 0x1p-8 : 10 * 10 * 0x1p-24;
    EXPECT_TRUE(within(testing::values(joint), testing::values(expected),
                       std::vector<double>(joint.elements(), tolerance)));
    if (stream == DType::f32) continue;
    // That is rare.
    int64_t same = 0;
    for (int64_t i = 0; i < joint.elements(); ++i)
      same += joint.data<bf16>()[i].bits == expected.data<bf16>()[i].bits;
    EXPECT_GT(same, joint.elements() * 99 / 100);
  }
}

}  // namespace
}  // namespace fluxq
