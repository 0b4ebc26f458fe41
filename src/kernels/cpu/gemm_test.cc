#include "kernels/cpu/gemm.h"

#include <gmock/gmock.h>

#include <cstring>

#include "kernels/testing.h"

namespace fluxq {
namespace {

using testing::half_ulp, testing::random_tensor, testing::same_bytes, testing::within;

DType dtype_of(GemmType type) {
  return type == GemmType::f32 ? DType::f32 : type == GemmType::bf16 ? DType::bf16 : DType::i8;
}

Tensor random_codes(Shape shape, uint64_t seed) {
  Tensor codes = Tensor::on_host(DType::i8, std::move(shape));
  std::mt19937_64 generator(seed);
  for (int64_t i = 0; i < codes.elements(); ++i)
    codes.data<int8_t>()[i] = static_cast<int8_t>(generator() % 256);
  return codes;
}

Tensor random_operand(GemmType type, Shape shape, uint64_t seed) {
  return type == GemmType::s8 ? random_codes(std::move(shape), seed)
                              : random_tensor(dtype_of(type), std::move(shape), seed);
}

double value(const Tensor& tensor, int64_t i) {
  switch (tensor.dtype()) {
    case DType::i8:
      return tensor.data<int8_t>()[i];
    case DType::bf16:
      return static_cast<float>(tensor.data<bf16>()[i]);
    default:
      return tensor.data<float>()[i];
  }
}

/// a [rows, in] weight^T in double, and what f32 sums of it may be off by: each of the `in`
/// products and partial sums rounds once. (bf16 instructions drop subnormals: 1e-30 is beyond
/// that.)
void multiply(const Tensor& a, const Tensor& weight, std::vector<double>& product,
              std::vector<double>& error) {
  const int64_t in = weight.dim(1), out = weight.dim(0), rows = a.elements() / in;
  product.assign(rows * out, 0);
  error.assign(rows * out, 0);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0, magnitude = 0;
      for (int64_t i = 0; i < in; ++i) {
        const double term = value(a, r * in + i) * value(weight, o * in + i);
        sum += term;
        magnitude += std::abs(term);
      }
      product[r * out + o] = sum;
      error[r * out + o] = a.dtype() == DType::i8
                               ? std::abs(sum) * 0x1p-24
                               : static_cast<double>(in + 4) * 0x1p-24 * magnitude + 1e-30;
    }
}

std::string type_name(GemmType type) {
  return type == GemmType::f32 ? "f32" : type == GemmType::bf16 ? "bf16" : "s8";
}

class GemmTest : public ::testing::TestWithParam<GemmType> {
 protected:
  CpuKernels kernels{2};

  Tensor run(CpuKernels& on, const Rows& a, const GemmWeight& weight,
             DType out_dtype = DType::f32) {
    Tensor out = Tensor::on_host(out_dtype, {a.batch, a.rows, weight.out});
    gemm(on, a, weight, nullptr, nullptr, {}, out);
    return out;
  }
};

TEST_P(GemmTest, MultipliesRaggedShapes) {
  struct Size {
    int64_t rows, out, in;
  };
  for (const Size size : {Size{1, 1, 1},
                          {3, 13, 7},
                          {5, 128, 64},
                          {17, 129, 100},
                          {64, 256, 256},
                          {77, 300, 1030},
                          {130, 64, 2049}}) {
    SCOPED_TRACE(fmt::format("{} x {} x {}", size.rows, size.out, size.in));
    const Tensor a = random_operand(GetParam(), {size.rows, size.in}, 1);
    const Tensor weight = random_operand(GetParam(), {size.out, size.in}, 2);
    std::vector<double> expected, error;
    multiply(a, weight, expected, error);
    const Tensor out = run(kernels, a, *arrange_weight(kernels, GetParam(), weight));
    EXPECT_TRUE(within(testing::values(out), expected, error));
  }
}

TEST_P(GemmTest, ARowsBytesDependOnNothingElse) {
  for (const int64_t in : {64, 768, 1280}) {
    const Tensor a = random_operand(GetParam(), {150, in}, 3);
    const auto weight =
        arrange_weight(kernels, GetParam(), random_operand(GetParam(), {200, in}, 4));
    const Tensor all = run(kernels, a, *weight);
    for (int64_t rows = 1; rows <= 70; ++rows) {
      const int64_t begin = rows * 7 % 80;
      const Tensor part = run(kernels, a.slice(begin, begin + rows), *weight);
      ASSERT_TRUE(same_bytes(part.reshaped({rows, 200}),
                             all.reshaped({150, 200}).slice(begin, begin + rows)))
          << rows << " rows from " << begin << " of " << in;
    }
  }
}

TEST_P(GemmTest, BytesDoNotDependOnThreadsOrBatch) {
  const Tensor a = random_operand(GetParam(), {3, 45, 300}, 5);
  const Tensor raw = random_operand(GetParam(), {500, 300}, 6);
  CpuKernels one(1), five(5);
  const Tensor expected = run(one, a, *arrange_weight(one, GetParam(), raw));
  EXPECT_TRUE(same_bytes(run(five, a, *arrange_weight(five, GetParam(), raw)), expected));
  const auto weight = arrange_weight(kernels, GetParam(), raw);
  EXPECT_TRUE(same_bytes(run(kernels, a, *weight), expected));
  for (int64_t b = 0; b < 3; ++b)
    EXPECT_TRUE(same_bytes(run(kernels, a.slice(b, b + 1), *weight), expected.slice(b, b + 1)));
}

TEST_P(GemmTest, ReadsAndWritesWindows) {
  const DType dtype = dtype_of(GetParam());
  constexpr int64_t kBatch = 2, kRows = 21, kIn = 96, kOut = 140;
  const Tensor wide_a = random_operand(GetParam(), {kBatch, kRows + 9, kIn + 10}, 7);
  const Tensor wide_weight = random_operand(GetParam(), {kOut, kIn + 33}, 8);
  const Rows a = Rows(wide_a).middle(4, kRows).columns(6, kIn);
  const Rows weight_window = Rows(wide_weight).columns(5, kIn);

  // The same values, dense.
  auto dense = [&](const Rows& rows) {
    Tensor copy = Tensor::on_host(dtype, {rows.batch, rows.rows, rows.cols});
    const Rows to(copy);
    for (int64_t b = 0; b < rows.batch; ++b)
      for (int64_t r = 0; r < rows.rows; ++r)
        std::memcpy(to.at(b, r), rows.at(b, r), rows.cols * dtype_bytes(dtype));
    return copy;
  };
  const Tensor dense_weight = dense(weight_window).reshaped({kOut, kIn});
  const Tensor expected =
      run(kernels, dense(a), *arrange_weight(kernels, GetParam(), dense_weight), DType::bf16);

  Tensor wide_out = Tensor::on_host(DType::bf16, {kBatch, kRows + 3, kOut + 20});
  std::memset(wide_out.raw(), 0x5a, wide_out.bytes());
  const Rows out = Rows(wide_out).middle(2, kRows).columns(11, kOut);
  gemm(kernels, a, *arrange_weight(kernels, GetParam(), weight_window), nullptr, nullptr, {}, out);
  EXPECT_TRUE(same_bytes(
      [&] {
        Tensor copy = Tensor::on_host(DType::bf16, {kBatch, kRows, kOut});
        for (int64_t b = 0; b < kBatch; ++b)
          for (int64_t r = 0; r < kRows; ++r) {
            std::memcpy(Rows(copy).at(b, r), out.at(b, r), kOut * 2);
            std::memset(out.at(b, r), 0x5a, kOut * 2);
          }
        return copy;
      }(),
      expected));
  const auto* bytes = static_cast<const unsigned char*>(wide_out.raw());
  EXPECT_EQ(std::count(bytes, bytes + wide_out.bytes(), 0x5a), wide_out.bytes());
}

TEST_P(GemmTest, EndsWithScalesBiasActivationGateAndResidual) {
  constexpr int64_t kBatch = 2, kRows = 19, kIn = 40, kOut = 150;
  for (const DType stream : {DType::f32, DType::bf16}) {
    const Tensor a = random_operand(GetParam(), {kBatch, kRows, kIn}, 9);
    const Tensor weight = random_operand(GetParam(), {kOut, kIn}, 10);
    const double unit = GetParam() == GemmType::s8 ? 1e-4 : 0.2;
    const Tensor row_scale = random_tensor(DType::f32, {kBatch * kRows}, 11, 0.2 * unit, unit);
    const Tensor col_scale = random_tensor(DType::f32, {kOut}, 12, 0.2, 1);
    Epilogue epilogue;
    epilogue.bias = random_tensor(stream, {kOut}, 13);
    const Tensor gate = random_tensor(stream, {kBatch, 1, kOut}, 14);
    epilogue.gate = gate;
    epilogue.act = Act::relu;
    const Tensor out = random_tensor(stream, {kBatch, kRows, kOut}, 15);
    epilogue.residual = out;  // its own output

    std::vector<double> sums, error, expected, tolerance;
    multiply(a, weight, sums, error);
    for (int64_t i = 0; i < out.elements(); ++i) {
      const int64_t row = i / kOut, col = i % kOut, b = row / kRows;
      const double scale = value(row_scale, row) * value(col_scale, col);
      const double before = sums[i] * scale + value(epilogue.bias, col);
      const double g = value(gate, b * kOut + col), residual = value(out, i);
      expected.push_back(residual + g * std::max(before, 0.0));
      const double inner =
          error[i] * std::abs(scale) + 4 * 0x1p-24 * (std::abs(sums[i] * scale) + std::abs(before));
      tolerance.push_back(inner * std::abs(g) +
                          0x1p-23 * (std::abs(g * before) + std::abs(residual)) +
                          half_ulp(stream) * std::abs(expected[i]));
    }
    gemm(kernels, a, *arrange_weight(kernels, GetParam(), weight), row_scale.data<float>(),
         col_scale.data<float>(), epilogue, out);
    EXPECT_TRUE(within(testing::values(out), expected, tolerance));
  }
}

TEST_P(GemmTest, RefusesOperandsThatDoNotFit) {
  const auto weight = arrange_weight(kernels, GetParam(), random_operand(GetParam(), {8, 16}, 1));
  const Tensor a = random_operand(GetParam(), {4, 15}, 1),
               out = random_tensor(DType::f32, {4, 8}, 1);
  EXPECT_THROW(gemm(kernels, a, *weight, nullptr, nullptr, {}, out), Error);
  EXPECT_THROW(arrange_weight(kernels, GetParam(),
                              random_tensor(GetParam() == GemmType::f32 ? DType::bf16 : DType::f32,
                                            {8, 16}, 1)),
               Error);
}

INSTANTIATE_TEST_SUITE_P(Types, GemmTest,
                         ::testing::Values(GemmType::f32, GemmType::bf16, GemmType::s8),
                         [](const auto& info) { return type_name(info.param); });

TEST(Gemm, ANanStaysInItsRow) {
  CpuKernels kernels(2);
  for (const GemmType type : {GemmType::f32, GemmType::bf16}) {
    const Tensor floats = random_tensor(DType::f32, {70, 64}, 1);
    floats.data<float>()[66 * 64 + 5] = NAN;
    const Tensor a = converted(floats, dtype_of(type));
    const auto weight = arrange_weight(kernels, type, random_operand(type, {30, 64}, 2));
    for (const Act act : {Act::none, Act::gelu_tanh, Act::relu}) {
      const Tensor out = Tensor::on_host(DType::bf16, {70, 30});
      Epilogue epilogue;
      epilogue.act = act;
      gemm(kernels, a, *weight, nullptr, nullptr, epilogue, out);
      const std::vector<double> values = testing::values(out);
      for (int64_t i = 0; i < out.elements(); ++i)
        ASSERT_EQ(std::isnan(values[i]), i / 30 == 66) << i;
    }
  }
}

TEST(Gemm, Int8SumsAreExactAtTheirLargest) {
  CpuKernels kernels(2);
  constexpr int64_t kIn = 5000;
  const Tensor a = Tensor::on_host(DType::i8, {2, kIn}),
               weight = Tensor::on_host(DType::i8, {2, kIn});
  for (int64_t i = 0; i < kIn; ++i) {
    a.data<int8_t>()[i] = -128;
    a.data<int8_t>()[kIn + i] = 127;
    weight.data<int8_t>()[i] = -128;
    weight.data<int8_t>()[kIn + i] = 127;
  }
  const Tensor out = Tensor::on_host(DType::f32, {2, 2});
  gemm(kernels, a, *arrange_weight(kernels, GemmType::s8, weight), nullptr, nullptr, {}, out);
  EXPECT_EQ(out.data<float>()[0], 128.0f * 128 * kIn);
  EXPECT_EQ(out.data<float>()[1], -128.0f * 127 * kIn);
  EXPECT_EQ(out.data<float>()[2], -128.0f * 127 * kIn);
  EXPECT_EQ(out.data<float>()[3], 127.0f * 127 * kIn);
}

TEST(Gemm, NamesItsKernels) {
  for (const GemmType type : {GemmType::f32, GemmType::bf16, GemmType::s8})
    EXPECT_THAT(gemm_kernel_name(type), ::testing::StartsWith("oneDNN " + type_name(type) + " ("));
}

}  // namespace
}  // namespace fluxq
