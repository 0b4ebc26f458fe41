/// For tests of products that give q, k and v, normed and rotated on the way.
#pragma once

#include <span>

#include "kernels/cuda/check.h"
#include "quant/conformance/cuda_fixture.h"
#include "quant/conformance/inputs.h"
#include "quant/scheme.h"

namespace fluxq::conformance {

inline constexpr int64_t kHeadDim = 128, kTileRows = 128;
inline constexpr int64_t kQkvGap = 64;  // columns beside q, k and v
inline constexpr float kQkvEps = 1e-6f;
inline constexpr uint16_t kRowsPoison = 0xffff;  // of rows: NaN

/// `before` rows of the attention stand before those of the product.
struct QkvCase {
  int64_t batch, before, rows, heads, in;
  bool biased = true;
};
inline constexpr QkvCase kQkvCases[] = {{1, 0, 128, 2, 256},          {1, 128, 100, 2, 256},
                                        {3, 0, 256, 2, 384},          {3, 128, 77, 2, 128},
                                        {1, 128, 140, 3, 144, false}, {1, 0, 640, 24, 512},
                                        {3, 128, 256, 24, 256}};

/// The layer of a case, its input, and what attention knows of both. Pictures and parts differ in
/// size, so that a scale of one would not do for another.
class QkvLayer {
 public:
  QkvLayer(CudaKernels& kernels, const Scheme& scheme, const QkvCase& c)
      : c(c),
        width(c.heads * kHeadDim),
        on(scheme.on(kernels)),
        rope(Tensor::on_host(DType::f32, {c.before + c.rows, kHeadDim / 2, 2})),
        kernels_(kernels) {
    for (const float size : {0.05f, 0.1f, 0.15f}) {
      packed.push_back(
          scheme.pack(noise(DType::bf16, width, c.in, seed_++, size), "a part of q, k and v"));
      weights.push_back(on->load(packed.back(), 0, c.in));
    }
    joined = on->join(weights);
    arranged = on->join_heads(weights, c.heads);
    if (c.biased)
      bias = kernels.upload(testing::random_tensor(DType::bf16, {3 * width}, seed_++, 0.5));
    x = kernels.upload(
        matrix(DType::bf16, c.batch * c.rows, c.in, seed_++, [&](float n, int64_t r, int64_t) {
          return n * static_cast<float>(1 + r / c.rows);
        }).reshaped({c.batch, c.rows, c.in}));
    for (Tensor* weight : {&stream.q_weight, &stream.k_weight, &other.q_weight, &other.k_weight})
      *weight = kernels.upload(testing::random_tensor(DType::bf16, {kHeadDim}, seed_++, 0.3, 1));
    for (int64_t i = 0; i < rope.elements() / 2; ++i) {
      rope.data<float>()[2 * i] = std::cos(0.1f * static_cast<float>(i));
      rope.data<float>()[2 * i + 1] = std::sin(0.1f * static_cast<float>(i));
    }
    rope_there_ = kernels.upload(rope);
    stream.first = c.before;
    stream.count = c.rows;
    other.count = c.before;
  }

  /// Rows [batch, before + rows, q | k | v | gap] of NaN.
  Tensor wide(int64_t batch) const {
    const Tensor wide =
        kernels_.allocate(DType::bf16, {batch, c.before + c.rows, 3 * width + kQkvGap});
    poison(wide, kRowsPoison & 0xff);
    return wide;
  }
  void poison(const Tensor& tensor, int byte) const {
    cuda::check(
        cudaMemsetAsync(tensor.raw(), byte, static_cast<size_t>(tensor.bytes()), kernels_.stream()),
        "poison");
  }
  Rows product_of(const Tensor& wide) const {
    return Rows(wide).middle(c.before, c.rows).columns(0, 3 * width);
  }
  JointAttention attention(const Tensor& wide, AttentionPrecision precision) const {
    const auto part = [&](int64_t index) { return Rows(wide).columns(index * width, width); };
    JointAttention args = {.q = part(0),
                           .k = part(1),
                           .v = part(2),
                           .out = {},
                           .rope = rope_there_,
                           .eps = kQkvEps,
                           .heads = c.heads,
                           .scale = 1 / std::sqrt(static_cast<float>(kHeadDim)),
                           .precision = precision};
    if (c.before > 0) args.streams.push_back(other);
    args.streams.push_back(stream);
    args.out = part(0);  // of the shape that there should be
    return args;
  }
  size_t index() const { return c.before > 0 ? 1 : 0; }

  /// The product with its ending, told of the attention.
  void multiply(const Prepared& input, JointAttention& args, const Tensor& wide) const {
    Epilogue epilogue = {.bias = bias};
    epilogue.heads = {&args, index()};
    on->matmul(input, *arranged, epilogue, product_of(wide));
  }
  /// The product alone.
  void multiply_plainly(const Prepared& input, const Tensor& wide) const {
    on->matmul(input, *joined, {.bias = bias}, product_of(wide));
  }

  const QkvCase c;
  const int64_t width;
  const std::unique_ptr<SchemeKernels> on;
  std::vector<PackedWeight> packed;                    // of q, k, v
  std::vector<std::shared_ptr<DeviceWeight>> weights;  // theirs
  std::shared_ptr<DeviceWeight> joined, arranged;
  Tensor bias, x;
  const Tensor rope;                     // on the host
  JointAttention::Stream stream, other;  // the product's, and that before it

 private:
  CudaKernels& kernels_;
  uint64_t seed_ = 1;
  Tensor rope_there_;
};

class CudaQkvFixture : public CudaFixture, public ::testing::WithParamInterface<const char*> {
 protected:
  const Scheme& scheme() const { return find_scheme(GetParam()); }
  bool is_e4m3() const { return scheme().layout(kHeadDim, kHeadDim)[0].dtype == DType::f8_e4m3; }

  /// How far a sum is from exact, as a share of its terms' magnitudes. Of e4m3, 32 terms are added
  /// at a time.
  double sum_error(const QkvLayer& layer) const {
    const auto additions = static_cast<double>(is_e4m3() ? layer.c.in / 32 + 1 : layer.c.in + 8);
    return additions * layer.on->rounding().sum;
  }
  template <typename Check>
  void for_each_case(const Check& check, std::span<const QkvCase> cases = kQkvCases) {
    for (const QkvCase& c : cases) {
      SCOPED_TRACE(fmt::format("batch {}, {} rows after {}, {} heads, {} inputs", c.batch, c.rows,
                               c.before, c.heads, c.in));
      Arena::Scope scope(kernels().arena());
      check(QkvLayer(kernels(), scheme(), c));
    }
  }
};

/// Whether the values [batch, rows, cols] on the host are poison but where the product writes.
inline void expect_poison_beside(const QkvLayer& layer, const Tensor& host, int64_t first_col) {
  const Rows rows = host;
  int64_t touched = 0;
  for (int64_t b = 0; b < rows.batch; ++b)
    for (int64_t r = 0; r < rows.rows; ++r)
      for (int64_t c = 0; c < rows.cols; ++c) {
        const bool written = r >= layer.c.before && c >= first_col && c < 3 * layer.width;
        if (!written && rows.row<bf16>(b, r)[c].bits != kRowsPoison) ++touched;
      }
  EXPECT_EQ(touched, 0) << "elements that are not the product's";
}

inline constexpr const char* kQkvSchemes[] = {"fp8dqrow", "fp8dq", "int8dq"};
#define FLUXQ_QKV_TESTS(suite)                                                                     \
  INSTANTIATE_TEST_SUITE_P(Schemes, suite, ::testing::ValuesIn(::fluxq::conformance::kQkvSchemes), \
                           [](const auto& scheme) { return std::string(scheme.param); })

}  // namespace fluxq::conformance
