// What the GPU quantizes is, bit for bit, what the host's formats make of the same values.

#include "quant/formats/cuda_quantize.h"

#include <cstring>

#include "kernels/testing.h"
#include "quant/conformance/cuda_fixture.h"
#include "quant/conformance/inputs.h"
#include "quant/formats/absmax.h"
#include "quant/formats/e4m3.h"
#include "quant/formats/s8.h"
#include "quant/scheme.h"

namespace fluxq {
namespace {

using conformance::difficult, conformance::Named;
using testing::random_tensor, testing::same_bytes;

class CudaQuantize : public conformance::CudaFixture {};

struct Quantized {
  Tensor codes;  // [batch, rows, cols]
  Tensor scale;  // [batch * rows] or [batch]
};

void expect_same(const Quantized& got, const Quantized& expected) {
  EXPECT_TRUE(same_bytes(got.scale, expected.scale)) << "scales";
  EXPECT_TRUE(same_bytes(got.codes, expected.codes)) << "codes";
}

enum class Form { rows_s8, rows_e4m3, samples_e4m3 };
constexpr Form kForms[] = {Form::rows_s8, Form::rows_e4m3, Form::samples_e4m3};

DType code_type(Form form) { return form == Form::rows_s8 ? DType::i8 : DType::f8_e4m3; }

// The host's codes of values [batch, rows, cols].
Quantized on_host(Form form, const Tensor& values) {
  const int64_t rows = values.dim(1), cols = values.dim(2);
  const bool per_row = form != Form::samples_e4m3;
  const int64_t parts = values.dim(0) * (per_row ? rows : 1), size = cols * (per_row ? 1 : rows);
  const std::vector<float> x = to_floats(values);
  Quantized result = {Tensor::on_host(code_type(form), values.shape()),
                      Tensor::on_host(DType::f32, {parts})};
  for (int64_t i = 0; i < parts; ++i) {
    void* codes = static_cast<std::byte*>(result.codes.raw()) + i * size;
    result.scale.data<float>()[i] =
        form == Form::rows_s8
            ? s8_quantize(x.data() + i * size, size, static_cast<int8_t*>(codes))
            : e4m3_quantize(x.data() + i * size, size, static_cast<uint8_t*>(codes));
  }
  return result;
}

// The GPU's codes of a producer on it. `gap` elements between the rows of codes must stay as they
// were.
Quantized on_gpu(CudaKernels& kernels, Form form, const Producer& input, int64_t gap = 0) {
  const Rows& x = input.x;
  const Tensor before = Tensor::on_host(code_type(form), {x.batch, x.rows, x.cols + gap});
  std::memset(before.raw(), 0x5a, static_cast<size_t>(before.bytes()));
  const Tensor wide = kernels.upload(before);
  const Tensor scale =
      kernels.allocate(DType::f32, {x.batch * (form == Form::samples_e4m3 ? 1 : x.rows)});
  const Rows codes = Rows(wide).columns(0, x.cols);
  if (form == Form::rows_s8)
    cuda::quantize_rows_s8(kernels, input, codes, scale.data<float>());
  else if (form == Form::rows_e4m3)
    cuda::quantize_rows_e4m3(kernels, input, codes, scale.data<float>());
  else
    cuda::quantize_samples_e4m3(kernels, input, codes, scale.data<float>());
  const Tensor after = kernels.download(wide);
  Quantized result = {Tensor::on_host(code_type(form), {x.batch, x.rows, x.cols}),
                      kernels.download(scale)};
  for (int64_t row = 0; row < x.batch * x.rows; ++row) {
    const auto* from = static_cast<const uint8_t*>(after.raw()) + row * (x.cols + gap);
    std::memcpy(static_cast<uint8_t*>(result.codes.raw()) + row * x.cols, from,
                static_cast<size_t>(x.cols));
    for (int64_t i = 0; i < gap; ++i) EXPECT_EQ(from[x.cols + i], 0x5a) << "between rows";
  }
  return result;
}

TEST_F(CudaQuantize, CodesOfDifficultInputs) {
  const std::array<int64_t, 2> sizes[] = {{1, 1},    {14, 17},   {7, 640},  {7, 3072},
                                          {7, 3073}, {2, 12288}, {2, 15360}};
  for (const auto& [rows, cols] : sizes)
    for (const Named& x : difficult(DType::bf16, rows, cols, 7, conformance::kLargestInput))
      for (const Form form : kForms) {
        SCOPED_TRACE(
            fmt::format("{} [{}, {}], form {}", x.name, rows, cols, static_cast<int>(form)));
        const Tensor values = x.values.reshaped({1, rows, cols});
        const Tensor device = kernels().upload(values);
        expect_same(on_gpu(kernels(), form, {.x = device}, cols % 8 == 0 ? 8 : 3),
                    on_host(form, values));
      }
}

// Rows of all bf16 numbers of 64 exponents, below a largest one with each significand: all pairs of
// significands that are divided, and with them all ties.
TEST_F(CudaQuantize, CodesOfAllSignificands) {
  constexpr int64_t kCols = 64 * 128 * 2;
  // The largest one's biased exponent: with tiny scales, too.
  for (const int top : {8, 20, 70, 127, 250}) {
    const Tensor values = Tensor::on_host(DType::bf16, {1, 128, kCols});
    for (int64_t i = 0; i < values.elements(); ++i) {
      const auto row = static_cast<uint32_t>(i / kCols), col = static_cast<uint32_t>(i % kCols);
      const uint32_t largest = static_cast<uint32_t>(top) << 7 | row;
      const uint32_t magnitude = std::min(largest - row + 127 - col / 2, largest);
      values.data<bf16>()[i].bits = static_cast<uint16_t>(magnitude | (col % 2) << 15);
    }
    const Tensor device = kernels().upload(values);
    for (const Form form : kForms) {
      SCOPED_TRACE(fmt::format("largest exponent {}, form {}", top, static_cast<int>(form)));
      expect_same(on_gpu(kernels(), form, {.x = device}), on_host(form, values));
    }
  }
}

TEST_F(CudaQuantize, ARowOrSampleThatIsNotFiniteHasNoScale) {
  for (const float bad : {NAN, INFINITY, -INFINITY})
    for (const int64_t cols : {17, 640, 3072}) {
      const Tensor values = random_tensor(DType::bf16, {3, 4, cols}, 3);
      values.data<bf16>()[5 * cols + cols / 2] = bf16(bad);
      const Tensor device = kernels().upload(values);
      for (const Form form : kForms)
        expect_same(on_gpu(kernels(), form, {.x = device}), on_host(form, values));
    }
}

// Fused with its producer or after it: the same codes.
TEST_F(CudaQuantize, CodesOfWhatTheProducerGives) {
  using Kind = Producer::Kind;
  for (const DType stream : {DType::bf16, DType::f32})
    for (const int64_t cols : {33, 640, 3072})
      for (const Form form : kForms)
        for (int which = 0; which < 7; ++which) {
          SCOPED_TRACE(fmt::format("{}, {} columns, form {}, producer {}", dtype_name(stream), cols,
                                   static_cast<int>(form), which));
          const auto random = [&](Shape shape, uint64_t seed) {
            return kernels().upload(random_tensor(stream, std::move(shape), seed));
          };
          const Tensor x = random({2, 5, cols}, 1), other = random({2, 5, cols}, 2);
          const Tensor shift = random({2, 1, cols}, 3), scale = random({2, 1, cols}, 4);
          Producer p = {.x = x, .eps = 1e-6f};
          if (which == 0) p.act = Act::gelu_tanh;
          if (which == 1) p.act = Act::gelu_tanh, p.factor = other;
          if (which >= 2 && which < 6) p.kind = which == 4 ? Kind::rms_norm : Kind::layer_norm;
          if (which == 2 || which == 5) p.shift = shift, p.scale = scale;
          if (which == 3 || which == 4) p.weight = random({cols}, 5);
          if (which == 3) p.bias = random({cols}, 6);
          if (which % 2 == 0)
            p.input_scale = kernels().upload(random_tensor(DType::f32, {cols}, 7, 0.3, 1));
          const Tensor produced = kernels().allocate(stream, x.shape());
          kernels().produce(p, produced);
          const Quantized expected = on_host(form, kernels().download(produced));
          expect_same(on_gpu(kernels(), form, p), expected);
          expect_same(on_gpu(kernels(), form, p, 3), expected);  // by the kernel for any rows
        }
}

TEST_F(CudaQuantize, AMatrixAloneIsWhatItIsInABatch) {
  for (const int64_t cols : {640, 3072})
    for (const Form form : kForms) {
      const Tensor values = random_tensor(DType::bf16, {3, 5, cols}, 8);
      const Tensor device = kernels().upload(values);
      const Quantized together = on_gpu(kernels(), form, {.x = device});
      const int64_t scales = together.scale.elements() / 3;
      for (int64_t b = 0; b < 3; ++b)
        expect_same(
            on_gpu(kernels(), form, {.x = Rows(device).item(b)}),
            {together.codes.slice(b, b + 1), together.scale.slice(b * scales, (b + 1) * scales)});
    }
}

Tensor new_part(CudaKernels& kernels, const Tensor& like) {
  return kernels.allocate(like.dtype(), like.shape());
}

TEST_F(CudaQuantize, Int4GroupsAreTheSchemes) {
  const Scheme& scheme = find_scheme("int4wo");
  for (const int64_t out : {1, 16, 37})
    for (const Named& w : difficult(DType::bf16, out, 384, 9, conformance::kLargestWeight)) {
      SCOPED_TRACE(fmt::format("{} [{}, 384]", w.name, out));
      const PackedWeight expected = scheme.pack(w.values, "w");
      std::vector<Tensor> parts;
      for (const Tensor& part : expected.parts) parts.push_back(new_part(kernels(), part));
      cuda::quantize_groups_s4(kernels(), kernels().upload(w.values), parts[0], parts[1], parts[2]);
      for (size_t i = 0; i < parts.size(); ++i)
        EXPECT_TRUE(same_bytes(kernels().download(parts[i]), expected.parts[i])) << "part " << i;
      const Tensor values = new_part(kernels(), w.values);
      cuda::expand_groups_s4(kernels(), parts[0], parts[1], parts[2], values);
      EXPECT_EQ(to_floats(kernels().download(values)), scheme.unpack(expected));
    }
}

TEST_F(CudaQuantize, SparseCodesAreTheSchemes) {
  const Scheme& scheme = find_scheme("sparse24-int8dq");
  for (const int64_t in : {4, 36, 640, 3072})
    for (const Named& w : difficult(DType::bf16, 14, in, 10, conformance::kLargestWeight)) {
      SCOPED_TRACE(fmt::format("{} [14, {}]", w.name, in));
      const PackedWeight expected = scheme.pack(w.values, "w");
      const Tensor codes = kernels().allocate(DType::i8, w.values.shape());
      std::vector<Tensor> parts;
      for (const Tensor& part : expected.parts) parts.push_back(new_part(kernels(), part));
      cuda::prune_and_quantize_s8(kernels(), kernels().upload(w.values), codes, parts[2]);
      cuda::compress_sparse24(kernels(), codes, parts[0], parts[1]);
      for (size_t i = 0; i < parts.size(); ++i)
        EXPECT_TRUE(same_bytes(kernels().download(parts[i]), expected.parts[i])) << "part " << i;
      const Tensor again = new_part(kernels(), codes), dense = kernels().download(codes);
      cuda::expand_sparse24(kernels(), parts[0], parts[1], again);
      EXPECT_TRUE(same_bytes(kernels().download(again), dense));
      const auto* scales = expected.parts[2].data<float>();
      std::vector<float> values;
      for (int64_t i = 0; i < dense.elements(); ++i)
        values.push_back(static_cast<float>(dense.data<int8_t>()[i]) * scales[i / in]);
      EXPECT_EQ(values, scheme.unpack(expected));
    }
}

TEST_F(CudaQuantize, NamesTheFirstValueThatIsNotFinite) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
    const Tensor floats = random_tensor(DType::f32, {37, 129}, 11);
    cuda::require_finite(kernels(), kernels().upload(converted(floats, dtype)), "w");
    floats.data<float>()[20 * 129 + 5] = INFINITY;
    floats.data<float>()[30 * 129] = NAN;
    try {
      cuda::require_finite(kernels(), kernels().upload(converted(floats, dtype)), "blocks.3.w");
      FAIL() << "took an infinity";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::numeric);
      EXPECT_NE(std::string(error.what()).find("blocks.3.w at [20, 5]"), std::string::npos)
          << error.what();
    }
  }
}

TEST_F(CudaQuantize, RefusesOperandsThatDoNotFit) {
  const Tensor x = kernels().upload(random_tensor(DType::bf16, {1, 3, 8}, 12));
  const Tensor codes = kernels().allocate(DType::i8, {1, 3, 7});
  const Tensor scale = kernels().allocate(DType::f32, {3});
  EXPECT_THROW(cuda::quantize_rows_s8(kernels(), {.x = x}, codes, scale.data<float>()), Error);
  const Tensor wide = kernels().allocate(DType::bf16, {1, 1, 1 << 15});
  const Tensor wide_codes = kernels().allocate(DType::i8, {1, 1, 1 << 15});
  EXPECT_THROW(cuda::quantize_rows_s8(kernels(), {.x = wide}, wide_codes, scale.data<float>()),
               Error);
}

}  // namespace
}  // namespace fluxq
