// Products that give q, k and v, normed and rotated on the way: beside sums in double, and beside a
// product followed by the pass that they replace.

#include "base/test_support.h"
#include "kernels/testing.h"
#include "quant/conformance/cuda_qkv_fixture.h"

namespace fluxq::conformance {
namespace {

using testing::random_tensor, testing::same_bytes, testing::values, testing::within;

constexpr double kRounding = 0x1p-8;  // to bf16

class CudaGemmQkv : public CudaQkvFixture {};
FLUXQ_QKV_TESTS(CudaGemmQkv);

// A few rows in double: exact sums, normed and rotated; of q and k the normed value is rounded to
// bf16 and then the result, as qk_norm_rope() does.
TEST_P(CudaGemmQkv, IsNearSumsInDouble) {
  for_each_case([&](const QkvLayer& layer) {
    const QkvCase& c = layer.c;
    const Prepared input = layer.on->prepare({.x = layer.x});
    const Tensor wide = layer.wide(c.batch);
    JointAttention args = layer.attention(wide, AttentionPrecision::bf16);
    layer.multiply(input, args, wide);
    EXPECT_TRUE(args.streams[layer.index()].normed);
    if (c.before > 0) {
      EXPECT_FALSE(args.streams[0].normed);
    }
    EXPECT_EQ(layer.arranged->bytes, layer.joined->bytes);
    EXPECT_EQ(layer.arranged->out, 3 * layer.width);
    const Tensor host = kernels().download(wide);
    expect_poison_beside(layer, host, 0);

    const std::vector<float> x = layer.on->dequantize(input);
    std::vector<double> bias(static_cast<size_t>(3 * layer.width));
    if (c.biased) bias = values(kernels().download(layer.bias));
    std::vector<std::vector<float>> weights;
    for (const PackedWeight& packed : layer.packed) weights.push_back(scheme().unpack(packed));
    std::vector<double> got, expected, tolerance;
    const auto add = [&](double value, double error, float result) {
      got.push_back(result);
      expected.push_back(value);
      tolerance.push_back(error + kRounding * (std::abs(value) + error));
    };
    for (int64_t b = 0; b < c.batch; ++b) {
      for (const int64_t r : {int64_t{0}, c.rows / 2, c.rows - 1}) {
        const float* in = x.data() + (b * c.rows + r) * c.in;
        const bf16* out = Rows(host).row<bf16>(b, c.before + r);
        const float* angles = layer.rope.data<float>() + (c.before + r) * kHeadDim;
        for (int64_t part = 0; part < 3; ++part) {
          const bool is_v = part == 2;
          const std::vector<double> norm =
              values(kernels().download(part == 0 ? layer.stream.q_weight : layer.stream.k_weight));
          for (int64_t first = 0; first < layer.width; first += kHeadDim) {
            double value[kHeadDim], error[kHeadDim], squares = 0, errors = 0;
            for (int64_t j = 0; j < kHeadDim; ++j) {
              const float* weight = weights[static_cast<size_t>(part)].data() + (first + j) * c.in;
              double sum = 0, magnitude = 0;
              for (int64_t i = 0; i < c.in; ++i) {
                const double term = static_cast<double>(in[i]) * static_cast<double>(weight[i]);
                sum += term;
                magnitude += std::abs(term);
              }
              value[j] = sum + bias[static_cast<size_t>(part * layer.width + first + j)];
              error[j] = sum_error(layer) * magnitude + 0x1p-22 * (magnitude + std::abs(value[j]));
              squares += value[j] * value[j];
              errors += error[j] * error[j];
              if (is_v)
                add(value[j], error[j], static_cast<float>(out[2 * layer.width + first + j]));
            }
            if (is_v) continue;
            const double inverse = 1 / std::sqrt(squares / kHeadDim + kQkvEps);
            const double of_norm = std::sqrt(errors / squares) + 0x1p-20;
            for (int64_t j = 0; j < kHeadDim; ++j) {
              const double factor = inverse * norm[static_cast<size_t>(j)];
              value[j] *= factor;
              error[j] = error[j] * std::abs(factor) + of_norm * std::abs(value[j]);
              error[j] += kRounding * (std::abs(value[j]) + error[j]);
            }
            const bf16* head = out + part * layer.width + first;
            for (int64_t j = 0; j < kHeadDim; j += 2) {
              const double cosine = angles[j], sine = angles[j + 1];
              add(value[j] * cosine - value[j + 1] * sine,
                  error[j] * std::abs(cosine) + error[j + 1] * std::abs(sine),
                  static_cast<float>(head[j]));
              add(value[j + 1] * cosine + value[j] * sine,
                  error[j + 1] * std::abs(cosine) + error[j] * std::abs(sine),
                  static_cast<float>(head[j + 1]));
            }
          }
        }
      }
    }
    EXPECT_TRUE(within(got, expected, tolerance));
  });
}

// All values. The passes round a sum, a normed value and a result to bf16, the ending the last two
// of them: as a share of a rotated pair, whose length is the same before and after, six roundings
// with that of the norm. Sums may differ too, by a share of sqrt(in) terms of their usual size.
TEST_P(CudaGemmQkv, IsNearThePassesThatItReplaces) {
  for_each_case([&](const QkvLayer& layer) {
    const QkvCase& c = layer.c;
    const Prepared input = layer.on->prepare({.x = layer.x});
    const Tensor fused = layer.wide(c.batch), plain = layer.wide(c.batch);
    JointAttention args = layer.attention(fused, AttentionPrecision::bf16);
    layer.multiply(input, args, fused);
    layer.multiply_plainly(input, plain);
    const Rows product = layer.product_of(plain);
    kernels().qk_norm_rope(product.columns(0, layer.width),
                           product.columns(layer.width, layer.width), layer.stream.q_weight,
                           layer.stream.k_weight, args.rope.slice(c.before, c.before + c.rows),
                           kQkvEps);

    const Tensor ours = kernels().download(fused), theirs = kernels().download(plain);
    const double of_sums = 4 * sum_error(layer) * std::sqrt(static_cast<double>(c.in));
    std::vector<double> got, expected, tolerance;
    for (int64_t b = 0; b < c.batch; ++b) {
      for (int64_t r = c.before; r < c.before + c.rows; ++r) {
        const bf16 *a = Rows(ours).row<bf16>(b, r), *e = Rows(theirs).row<bf16>(b, r);
        double largest = 0;  // of v
        for (int64_t j = 2 * layer.width; j < 3 * layer.width; ++j)
          largest = std::max(largest, std::abs(static_cast<double>(static_cast<float>(e[j]))));
        for (int64_t j = 0; j < 3 * layer.width; ++j) {
          const auto at = [&](int64_t col) {
            return static_cast<double>(static_cast<float>(e[col]));
          };
          got.push_back(static_cast<float>(a[j]));
          expected.push_back(at(j));
          tolerance.push_back(j < 2 * layer.width
                                  ? 6.5 * kRounding * std::hypot(at(j), at(j ^ 1)) + of_sums
                                  : 2.5 * kRounding * std::abs(at(j)) + of_sums * largest);
        }
      }
    }
    EXPECT_TRUE(within(got, expected, tolerance));
  });
}

TEST_P(CudaGemmQkv, AWeightOfHeadsHasNoOtherProduct) {
  const QkvLayer layer(kernels(), scheme(), kQkvCases[0]);
  Arena::Scope scope(kernels().arena());
  const Prepared input = layer.on->prepare({.x = layer.x});
  const Tensor wide = layer.wide(1);
  EXPECT_FLUXQ_ERROR(layer.on->matmul(input, *layer.arranged, {}, layer.product_of(wide)), internal,
                     "q, k and v");
  JointAttention args = layer.attention(wide, AttentionPrecision::bf16);
  Epilogue epilogue = {.act = Act::gelu_tanh};
  epilogue.heads = {&args, 0};
  EXPECT_FLUXQ_ERROR(layer.on->matmul(input, *layer.arranged, epilogue, layer.product_of(wide)),
                     internal, "only a bias");
  EXPECT_FALSE(args.streams[0].normed);
}

// Heads of other sizes stay as join() puts them, and what is left to do is left to
// joint_attention().
TEST_P(CudaGemmQkv, OtherHeadsAreJoinedAsEver) {
  const auto on = scheme().on(kernels());
  for (const auto& [heads, dim] : {std::pair(2, 64), std::pair(4, 64)}) {
    const int64_t width = heads * dim, in = 256, rows = 128;
    std::vector<std::shared_ptr<DeviceWeight>> weights;
    for (uint64_t i = 0; i < 3; ++i)
      weights.push_back(on->load(scheme().pack(noise(DType::bf16, width, in, i), "w"), 0, in));
    const auto joined = on->join(weights), of_heads = on->join_heads(weights, heads);
    const Tensor x = kernels().upload(random_tensor(DType::bf16, {1, rows, in}, 9));
    const Tensor a = kernels().allocate(DType::bf16, {1, rows, 3 * width});
    const Tensor b = kernels().allocate(DType::bf16, {1, rows, 3 * width});
    Arena::Scope scope(kernels().arena());
    const Prepared input = on->prepare({.x = x});
    JointAttention args;
    args.streams.resize(1);
    Epilogue epilogue;
    epilogue.heads = {&args, 0};
    on->matmul(input, *joined, {}, a);
    on->matmul(input, *of_heads, epilogue, b);
    EXPECT_FALSE(args.streams[0].normed);
    EXPECT_TRUE(same_bytes(kernels().download(a), kernels().download(b)));
  }
}

}  // namespace
}  // namespace fluxq::conformance
