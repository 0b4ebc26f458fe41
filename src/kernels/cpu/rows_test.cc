#include <cstring>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/ref/ref_kernels.h"
#include "kernels/testing.h"

namespace fluxq {
namespace {

using testing::half_ulp, testing::random_tensor, testing::same_bytes, testing::within;

constexpr int64_t kBatch = 3, kRows = 37, kCols = 83;  // ragged for every vector width

const Act kActs[] = {Act::none,       Act::gelu_tanh, Act::gelu_erf,
                     Act::quick_gelu, Act::relu,      Act::silu};

Tensor full(DType dtype, uint64_t seed, double scale = 1, double offset = 0) {
  return random_tensor(dtype, {kBatch, kRows, kCols}, seed, scale, offset);
}

/// Results of values of order 1, so that two devices that round once differ by one step at most.
/// `ulps` counts roundings inside in f32.
::testing::AssertionResult close(const Tensor& got, const Tensor& expected, double ulps) {
  std::vector<double> tolerance;
  for (const double e : testing::values(expected)) {
    const double inside = ulps * 0x1p-24 * (1 + std::abs(e));
    tolerance.push_back(
        got.dtype() == DType::bf16 ? inside + 2 * half_ulp(DType::bf16) * std::abs(e) : inside);
  }
  return within(testing::values(got), testing::values(expected), tolerance);
}

struct NamedProducer {
  std::string name;
  Producer producer;
  std::vector<Tensor> kept;
};

std::vector<NamedProducer> producers(DType stream) {
  std::vector<NamedProducer> all;
  const Tensor x = full(stream, 1, 2, 0.5);
  auto add = [&](std::string name) -> NamedProducer& {
    NamedProducer& p = all.emplace_back(NamedProducer{std::move(name), {}, {x}});
    p.producer.x = x;
    p.producer.eps = 1e-6f;
    return p;
  };
  for (const Act act : kActs) {
    NamedProducer& plain = add(fmt::format("activation {}", static_cast<int>(act)));
    plain.producer.act = act;
    NamedProducer& gated = add(fmt::format("activation {} * factor", static_cast<int>(act)));
    gated.producer.act = act;
    gated.producer.factor = gated.kept.emplace_back(full(stream, 2));
  }
  for (const auto kind : {Producer::Kind::layer_norm, Producer::Kind::rms_norm}) {
    const bool layer = kind == Producer::Kind::layer_norm;
    add(layer ? "layer norm" : "rms norm").producer.kind = kind;
    NamedProducer& weighted = add(layer ? "layer norm, weight and bias" : "rms norm, weight");
    weighted.producer.kind = kind;
    weighted.producer.weight = random_tensor(stream, {kCols}, 3);
    if (layer) weighted.producer.bias = random_tensor(stream, {kCols}, 4);
    if (!layer) continue;
    NamedProducer& modulated = add("layer norm, modulated and smoothed");
    modulated.producer.kind = kind;
    modulated.producer.shift =
        modulated.kept.emplace_back(random_tensor(stream, {kBatch, 1, kCols}, 5));
    modulated.producer.scale =
        modulated.kept.emplace_back(random_tensor(stream, {kBatch, 1, kCols}, 6));
    modulated.producer.input_scale = random_tensor(DType::f32, {kCols}, 7, 0.1, 1);
  }
  return all;
}

TEST(CpuProduce, IsTheReferences) {
  CpuKernels kernels(2);
  for (const DType stream : {DType::f32, DType::bf16})
    for (const DType out_dtype : {DType::f32, DType::bf16})
      for (const NamedProducer& p : producers(stream)) {
        SCOPED_TRACE(p.name);
        const Tensor got = full(out_dtype, 9), expected = full(out_dtype, 9);
        kernels.produce(p.producer, got);
        make_ref_kernels()->produce(p.producer, expected);
        // A bf16 stream rounds twice when smoothed: two steps, as if of an output of bf16.
        const double step = stream == DType::bf16 ? 2 * 0x1p-8 / 0x1p-24 : 0;
        EXPECT_TRUE(close(got, expected, 30 + step));
      }
}

TEST(CpuProduce, LosesNothingToALargeMean) {
  CpuKernels kernels(2);
  const Tensor x = full(DType::f32, 1, 1, 300), got = full(DType::f32, 2),
               expected = full(DType::f32, 2);
  Producer producer;
  producer.kind = Producer::Kind::layer_norm;
  producer.x = x;
  producer.eps = 1e-6f;
  kernels.produce(producer, got);
  make_ref_kernels()->produce(producer, expected);
  // The mean itself is only known to a few steps of 300.
  EXPECT_TRUE(close(got, expected, 300 * 4));
}

TEST(CpuProduce, BytesDoNotDependOnThreadsOrBatchAndWindowsAreKept) {
  CpuKernels one(1), five(5);
  for (const DType stream : {DType::f32, DType::bf16})
    for (const NamedProducer& p : producers(stream)) {
      SCOPED_TRACE(p.name);
      const Tensor expected = full(stream, 8);
      one.produce(p.producer, expected);
      const Tensor wide = Tensor::on_host(stream, {kBatch, kRows + 2, kCols + 5});
      std::memset(wide.raw(), 0x5a, wide.bytes());
      const Rows window = Rows(wide).middle(1, kRows).columns(2, kCols);
      for (int64_t b = 0; b < kBatch; ++b) {
        Producer alone = p.producer;
        alone.x = alone.x.item(b);
        for (Rows* part : {&alone.factor, &alone.shift, &alone.scale})
          if (!part->empty()) *part = part->item(b);
        five.produce(alone, window.item(b));
        for (int64_t r = 0; r < kRows; ++r) {
          const size_t bytes = kCols * dtype_bytes(stream);
          ASSERT_EQ(std::memcmp(window.at(b, r), Rows(expected).at(b, r), bytes), 0);
          std::memset(window.at(b, r), 0x5a, bytes);
        }
      }
      const auto* bytes = static_cast<const unsigned char*>(wide.raw());
      EXPECT_EQ(std::count(bytes, bytes + wide.bytes(), 0x5a), wide.bytes());
    }
}

TEST(CpuProduce, ANanStaysInItsRow) {
  CpuKernels kernels(2);
  for (const NamedProducer& p : producers(DType::f32)) {
    SCOPED_TRACE(p.name);
    const float before = p.producer.x.row<float>(1, 5)[7];
    p.producer.x.row<float>(1, 5)[7] = NAN;
    const Tensor out = full(DType::bf16, 2);
    kernels.produce(p.producer, out);
    p.producer.x.row<float>(1, 5)[7] = before;
    const std::vector<double> values = testing::values(out);
    const bool norm = p.producer.kind != Producer::Kind::activate;
    for (int64_t i = 0; i < out.elements(); ++i) {
      const bool hit = i / kCols == kRows + 5 && (norm || i % kCols == 7);
      ASSERT_EQ(std::isnan(values[i]), hit) << i;
    }
  }
}

TEST(CpuApply, IsTheReferences) {
  CpuKernels kernels(2);
  for (const DType stream : {DType::f32, DType::bf16})
    for (const DType acc_dtype : {DType::f32, stream})
      for (const Act act : kActs) {
        const Tensor acc = full(acc_dtype, 1), gate = random_tensor(stream, {kBatch, 1, kCols}, 2);
        Epilogue epilogue;
        epilogue.act = act;
        const Tensor plain = full(stream, 3), plain_expected = full(stream, 3);
        kernels.apply(epilogue, acc, plain);
        make_ref_kernels()->apply(epilogue, acc, plain_expected);
        EXPECT_TRUE(close(plain, plain_expected, 30));

        epilogue.bias = random_tensor(stream, {kCols}, 4);
        epilogue.gate = gate;
        const Tensor got = full(stream, 5), expected = full(stream, 5);
        epilogue.residual = got;  // in place
        kernels.apply(epilogue, acc, got);
        epilogue.residual = expected;
        make_ref_kernels()->apply(epilogue, acc, expected);
        EXPECT_TRUE(close(got, expected, 200));  // terms up to 16 cancel
      }
}

TEST(CpuEmbed, IsTheReferences) {
  CpuKernels kernels(2);
  const Tensor ids = Tensor::from<int32_t>({0, 4, 2, 4, 1, 3}, {2, 3});
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const DType out_dtype : {DType::f32, DType::bf16})
      for (const bool positions : {false, true}) {
        const Tensor table = random_tensor(dtype, {5, kCols}, 1);
        const Tensor places = positions ? random_tensor(dtype, {7, kCols}, 2) : Tensor();
        const Tensor got = random_tensor(out_dtype, {2, 3, kCols}, 3),
                     expected = random_tensor(out_dtype, {2, 3, kCols}, 3);
        kernels.embed(ids, table, places, got);
        make_ref_kernels()->embed(ids, table, places, expected);
        EXPECT_TRUE(close(got, expected, 1));
      }
  const Tensor outside = Tensor::from<int32_t>({0, 5}, {1, 2});
  EXPECT_THROW(kernels.embed(outside, random_tensor(DType::f32, {5, 4}, 1), {},
                             random_tensor(DType::f32, {1, 2, 4}, 1)),
               Error);
}

TEST(CpuEulerStep, IsTheReferences) {
  CpuKernels kernels(2);
  for (const DType velocity_dtype : {DType::f32, DType::bf16})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Tensor velocity = full(velocity_dtype, 1), got = full(dtype, 2),
                   expected = full(dtype, 2);
      kernels.euler_step(velocity, 1.0f, 0.6875f, got);
      make_ref_kernels()->euler_step(velocity, 1.0f, 0.6875f, expected);
      EXPECT_TRUE(close(got, expected, 6));
    }
}

TEST(CpuAllFinite, SeesOneBadValueAndNotItsSurroundings) {
  CpuKernels kernels(3);
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      const Tensor floats = full(DType::f32, 1, 1e37);
      EXPECT_TRUE(kernels.all_finite(converted(floats, dtype)));
      floats.data<float>()[(2 * kRows + 30) * kCols + 80] = bad;
      const Tensor x = converted(floats, dtype);
      EXPECT_FALSE(kernels.all_finite(x));
      EXPECT_TRUE(kernels.all_finite(Rows(x).columns(0, 80)));
      EXPECT_TRUE(kernels.all_finite(Rows(x).middle(0, 30)));
    }
}

}  // namespace
}  // namespace fluxq
