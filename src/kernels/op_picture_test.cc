// The operations on pictures against the reference.

#include "kernels/op_test.h"
#include "kernels/ref/ref_kernels.h"

namespace fluxq {
namespace {

using testing::Operand, testing::Placed;

class OpPicture : public testing::OpTest {};
FLUXQ_OP_TESTS(OpPicture);

struct ConvCase {
  int64_t batch, height, width, in, out, kernel;
};

// One pixel, one row, one column; more rows than a tile has; few channels, and more than a vector.
const ConvCase kConvCases[] = {
    {1, 1, 1, 1, 1, 1},     {1, 1, 1, 3, 5, 3},     {3, 5, 7, 16, 32, 3},   {2, 9, 3, 32, 3, 3},
    {1, 33, 17, 17, 33, 3}, {3, 4, 5, 8, 16, 1},    {1, 3, 127, 3, 16, 3},  {2, 40, 9, 64, 48, 3},
    {1, 70, 1, 5, 4, 3},    {1, 2, 2, 127, 130, 3}, {1, 37, 11, 32, 64, 1}, {2, 11, 45, 144, 5, 3},
    {1, 1, 1, 8, 8, 3},     {2, 7, 5, 8, 24, 3},    {1, 1, 35, 8, 16, 3},   {1, 19, 1, 24, 8, 3}};

enum class Added { nothing, residual, in_place };

class ConvRun {
 public:
  ConvRun(Tensor weight, Tensor bias, DType stream, bool upsample, Added added)
      : weight_(weight), bias_(bias), stream_(stream), upsample_(upsample), added_(added) {}
  // Operands: x, out, perhaps residual.
  void operator()(Kernels& kernels, const std::vector<Placed>& operands) const {
    const auto weight = kernels.load_conv(weight_, bias_, stream_, upsample_);
    const Tensor& out = operands[1].tensor;
    const Tensor residual = added_ == Added::nothing    ? Tensor()
                            : added_ == Added::in_place ? out
                                                        : operands[2].tensor;
    kernels.conv2d(operands[0].tensor, *weight, residual, out);
  }

 private:
  Tensor weight_, bias_;
  DType stream_;
  bool upsample_;
  Added added_;
};

TEST_P(OpPicture, Conv) {
  for (const ConvCase& c : kConvCases)
    for (const bool upsample : {false, true})
      for (const Added added : {Added::nothing, Added::residual, Added::in_place}) {
        if (upsample && (c.kernel == 1 || (added != Added::nothing && c.in > 8))) continue;
        SCOPED_TRACE(fmt::format("[{}, {}, {}, {}] to {}, kernel {}, upsample {}, residual {}",
                                 c.batch, c.height, c.width, c.in, c.out, c.kernel, upsample,
                                 static_cast<int>(added)));
        const int64_t terms = c.in * c.kernel * c.kernel, times = upsample ? 2 : 1;
        const Shape out_shape = {c.batch, times * c.height, times * c.width, c.out};
        const Tensor weight =
            random({c.out, c.in, c.kernel, c.kernel}, 1 / std::sqrt(static_cast<double>(terms)));
        std::vector<Operand> operands = {
            Operand::in_tensor(random({c.batch, c.height, c.width, c.in}))};
        if (added == Added::in_place)
          operands.push_back(Operand::in_out_tensor(random(out_shape)));
        else
          operands.push_back(Operand::out_tensor(stream(), out_shape));
        if (added == Added::residual) operands.push_back(Operand::in_tensor(random(out_shape)));
        // The rounding errors of a sum's terms, of norm 1, add up as a random walk; so do those of
        // an upsampling weight's sums in bf16, to a fifth of a step of what is typical.
        testing::Precision precision = {.roundings = 8 + std::sqrt(static_cast<double>(terms))};
        if (upsample && stream() == DType::bf16) {
          precision.stream_steps = 1;
          precision.same_share = 0.5;
        }
        check(operands, ConvRun(weight, random({c.out}), stream(), upsample, added), precision);
      }
}

TEST_P(OpPicture, ConvRoundsItsWeightToTheStream) {
  const Tensor weight = testing::random_tensor(DType::f32, {5, 3, 3, 3}, 1, 0.2);
  const Tensor bias = testing::random_tensor(DType::f32, {5}, 2);
  check({Operand::in_tensor(random({1, 9, 8, 3})), Operand::out_tensor(stream(), {1, 9, 8, 5})},
        ConvRun(weight, bias, stream(), false, Added::nothing), {.roundings = 16});
}

TEST_P(OpPicture, ConvKeepsNan) {
  for (const auto& [in, out] : {std::pair{3, 4}, {16, 4}, {16, 8}}) {
    const Operand x = Operand::in_tensor(random({2, 6, 5, in}));
    const Tensor weight = random({out, in, 3, 3}), bias = random({out});
    for (const bool upsample : {false, true})
      check_spoiled(
          {x, Operand::out_tensor(stream(), {2, upsample ? 12 : 6, upsample ? 10 : 5, out})},
          ConvRun(weight, bias, stream(), upsample, Added::nothing));
    check_spoiled({x, Operand::in_out_tensor(random({2, 6, 5, out}))},
                  ConvRun(weight, bias, stream(), false, Added::in_place));
  }
}

TEST_P(OpPicture, ConvServesManySizesInTurn) {
  // More tile shapes than are kept, and the first one again.
  const auto kernels = std::get<0>(GetParam()).make(1);
  const auto ref = make_ref_kernels();
  const Tensor weight = random({2, 2, 3, 3}), bias = random({2});
  const auto loaded = kernels->load_conv(weight, bias, stream(), false);
  const auto ref_loaded = ref->load_conv(weight, bias, stream(), false);
  EXPECT_GT(loaded->bytes, 0);
  for (int64_t i = 0; i < 80; ++i) {
    const int64_t width = i % 79 + 1;
    const Tensor x = random({1, 3, width, 2});
    const Tensor got = kernels->allocate(stream(), x.shape());
    const Tensor expected = ref->allocate(stream(), x.shape());
    kernels->conv2d(kernels->upload(x), *loaded, {}, got);
    ref->conv2d(x, *ref_loaded, {}, expected);
    const std::vector<double> theirs = testing::values(expected);
    std::vector<double> tolerance;
    for (const double v : theirs)
      tolerance.push_back(0x1p-18 + 2 * testing::half_ulp(stream()) * std::abs(v));
    ASSERT_TRUE(testing::within(testing::values(kernels->download(got)), theirs, tolerance)) << i;
  }
}

TEST_P(OpPicture, GroupNorm) {
  struct Case {
    int64_t batch, height, width, channels, groups;
    double offset;
  };
  for (const Case& c :
       {Case{1, 1, 1, 4, 4, 0}, Case{3, 5, 7, 12, 4, 1}, Case{1, 33, 17, 32, 32, 0},
        Case{2, 9, 127, 64, 32, 3}, Case{1, 3, 3, 6, 1, 0}, Case{1, 40, 50, 48, 16, 100},
        Case{2, 3, 5, 512, 32, 1}, Case{1, 5, 3, 600, 2, 0}, Case{1, 2, 3, 4096, 4, 0}})
    for (const bool silu : {false, true}) {
      SCOPED_TRACE(fmt::format("[{}, {}, {}, {}] in {} groups, silu {}", c.batch, c.height, c.width,
                               c.channels, c.groups, silu));
      const Tensor weight = random({c.channels}), bias = random({c.channels});
      const auto run = [&](Kernels& kernels, const std::vector<Placed>& operands) {
        kernels.group_norm(operands[0].tensor, c.groups, kernels.upload(weight),
                           kernels.upload(bias), 1e-6f, silu, operands.back().tensor);
      };
      const Tensor x = random({c.batch, c.height, c.width, c.channels}, 2, c.offset);
      // x, of up to offset + 8, loses its mean.
      const testing::Precision precision = {.roundings = 16 + 2 * c.offset};
      check({Operand::in_tensor(x), Operand::out_tensor(stream(), x.shape())}, run, precision);
      check({Operand::in_out_tensor(x)}, run, precision);
    }
}

TEST_P(OpPicture, GroupNormOfAConstantIsTheBias) {
  const Tensor weight = random({8}), bias = random({8});
  const Tensor x = random({1, 20, 30, 8}, 0, 0.7);
  const auto run = [&](Kernels& kernels, const std::vector<Placed>& operands) {
    kernels.group_norm(operands[0].tensor, 2, kernels.upload(weight), kernels.upload(bias), 1e-6f,
                       false, operands[1].tensor);
  };
  check({Operand::in_tensor(x), Operand::out_tensor(stream(), x.shape())}, run, {.roundings = 2});
}

TEST_P(OpPicture, GroupNormKeepsNan) {
  const Tensor weight = random({12}), bias = random({12});
  const Tensor x = random({2, 5, 6, 12});
  check_spoiled({Operand::in_tensor(x), Operand::out_tensor(stream(), x.shape())},
                [&](Kernels& kernels, const std::vector<Placed>& operands) {
                  kernels.group_norm(operands[0].tensor, 4, kernels.upload(weight),
                                     kernels.upload(bias), 1e-6f, true, operands[1].tensor);
                });
}

TEST_P(OpPicture, UnpackLatents) {
  for (const DType latents : {DType::f32, DType::bf16})
    for (const auto& [batch, height, width, channels] :
         {std::array<int64_t, 4>{1, 2, 2, 1}, {3, 4, 6, 16}, {1, 34, 2, 3}, {2, 2, 66, 17}}) {
      const Tensor packed =
          testing::random_tensor(latents, {batch, height / 2 * (width / 2), 4 * channels}, 1);
      const auto run = [](Kernels& kernels, const std::vector<Placed>& operands) {
        kernels.unpack_latents(operands[0].rows, 0.3611f, 0.1159f, operands[1].tensor);
      };
      const std::vector<Operand> operands = {
          Operand::in_rows(packed),
          Operand::out_tensor(stream(), {batch, height, width, channels})};
      check(operands, run, {.roundings = 3});
      check_spoiled(operands, run);
    }
}

TEST_P(OpPicture, RefusesOperandsThatDoNotFit) {
  const auto kernels = std::get<0>(GetParam()).make(1);
  const Tensor x = random({1, 4, 4, 8}), narrow = random({1, 4, 4, 7}),
               other = random({1, 8, 4, 8});
  const Tensor eight = random({8}), seven = random({7});
  const auto weight = kernels->load_conv(random({8, 8, 3, 3}), eight, stream(), false);
  const auto doubling = kernels->load_conv(random({8, 8, 3, 3}), eight, stream(), true);
  EXPECT_THROW(kernels->conv2d(x, *doubling, {}, x), Error);
  EXPECT_THROW(kernels->conv2d(narrow, *weight, {}, x), Error);
  EXPECT_THROW(kernels->conv2d(x, *weight, other, random(x.shape())), Error);
  EXPECT_THROW(kernels->load_conv(random({8, 8, 5, 5}), eight, stream(), false), Error);
  EXPECT_THROW(kernels->load_conv(random({8, 8, 1, 1}), eight, stream(), true), Error);
  EXPECT_THROW(kernels->load_conv(random({8, 8, 3, 3}), seven, stream(), false), Error);
  EXPECT_THROW(kernels->group_norm(x, 3, eight, eight, 1e-6f, false, x), Error);
  EXPECT_THROW(kernels->group_norm(x, 2, seven, eight, 1e-6f, false, x), Error);
  EXPECT_THROW(kernels->unpack_latents(random({1, 5, 32}), 1, 0, x), Error);
}

// Every bf16 value in -2..2, and numbers just beside the ties between two pixels.
TEST_P(OpPicture, Rgb8) {
  const auto kernels = std::get<0>(GetParam()).make(2);
  std::vector<float> numbers = {NAN, INFINITY, -INFINITY, 0, -1, 1};
  for (float v = 1e-3f; v < 2; v *= 1.003f) numbers.insert(numbers.end(), {v, -v});
  for (int i = 0; i < 255; ++i) {
    const float tie = (static_cast<float>(i) + 0.5f) / 255 * 2 - 1;
    numbers.insert(numbers.end(), {tie, std::nextafter(tie, 2.0f), std::nextafter(tie, -2.0f)});
  }
  const auto count = static_cast<int64_t>(numbers.size());
  const Tensor pictures = converted(Tensor::from(numbers, {1, 1, count, 1}), stream());
  const Tensor expected = Tensor::on_host(DType::u8, pictures.shape());
  make_ref_kernels()->to_rgb8(pictures, expected);
  const Tensor rgb = kernels->allocate(DType::u8, pictures.shape());
  const Tensor on_device = kernels->upload(pictures);
  kernels->to_rgb8(on_device, rgb);
  EXPECT_TRUE(testing::same_bytes(kernels->download(rgb), expected));
  const auto* got = static_cast<const uint8_t*>(expected.raw());
  EXPECT_EQ(got[0], 0);    // NaN
  EXPECT_EQ(got[1], 255);  // infinity
  EXPECT_EQ(got[2], 0);
  EXPECT_EQ(got[3], 128);  // 127.5, to even
}

}  // namespace
}  // namespace fluxq
