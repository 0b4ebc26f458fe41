// The operations on rows against the reference.

#include "kernels/op_test.h"
#include "kernels/ref/values.h"

namespace fluxq {
namespace {

using testing::Operand, testing::Placed;

class OpRows : public testing::OpTest {};
FLUXQ_OP_TESTS(OpRows);

const std::array<int64_t, 3> kSizes[] = {{1, 1, 1},     {3, 2, 3},   {2, 3, 17},  {3, 5, 33},
                                         {1, 127, 127}, {2, 3, 640}, {2, 3, 3072}};
const Act kActs[] = {Act::none,       Act::gelu_tanh, Act::gelu_erf,
                     Act::quick_gelu, Act::relu,      Act::silu};
const DType kBothTypes[] = {DType::f32, DType::bf16};

std::string name_of(const std::array<int64_t, 3>& size) {
  return fmt::format("[{}, {}, {}]", size[0], size[1], size[2]);
}

TEST_P(OpRows, ProduceActivation) {
  for (const auto& [batch, rows, cols] : kSizes)
    for (const DType out : kBothTypes)
      for (const Act act : kActs)
        for (const bool with_factor : {false, true}) {
          SCOPED_TRACE(name_of({batch, rows, cols}) +
                       fmt::format(" act {}", static_cast<int>(act)));
          const auto run = [=](Kernels& kernels, const std::vector<Placed>& operands) {
            Producer p{.x = operands[0].rows, .act = act};
            if (with_factor) p.factor = operands[2].rows;
            kernels.produce(p, operands[1].rows);
          };
          std::vector<Operand> operands = {Operand::in_rows(random({batch, rows, cols}, 3)),
                                           Operand::out_rows(out, batch, rows, cols)};
          if (with_factor) operands.push_back(Operand::in_rows(random({batch, rows, cols})));
          check(operands, run, {.roundings = 16});
          if (cols == 17) check_spoiled(operands, run);
        }
}

// Also where results are small or arguments large: relative to what the result is.
TEST_P(OpRows, ActivationsAreRightRelativeToTheirResult) {
  const auto kernels = std::get<0>(GetParam()).make(1);
  std::vector<float> arguments;
  for (float v = 1e-6f; v < 200; v *= 1.07f) arguments.insert(arguments.end(), {v, -v});
  const auto count = static_cast<int64_t>(arguments.size());
  const Tensor x = converted(Tensor::from<float>(arguments, {1, count}), stream());
  const Tensor out = kernels->allocate(DType::f32, {1, count});
  for (const Act act : kActs) {
    SCOPED_TRACE(static_cast<int>(act));
    const Tensor on_device = kernels->upload(x);
    kernels->produce({.x = on_device, .act = act}, out);
    std::vector<double> expected, tolerance;
    for (const double v : testing::values(x)) {
      expected.push_back(ref::activate(act, v));
      // An argument 4 roundings off inside the function, and as many of the result; results below
      // f32's normal numbers are as good as zero.
      const double moved = ref::activate(act, v * (1 + 0x1p-22)) - expected.back();
      const double inside = std::abs(moved) + 8 * 0x1p-24 * std::abs(expected.back()) + 0x1p-125;
      tolerance.push_back(inside + testing::half_ulp(stream()) * std::abs(expected.back()));
    }
    EXPECT_TRUE(testing::within(testing::values(kernels->download(out)), expected, tolerance));
  }
}

struct Norm {
  Producer::Kind kind;
  bool affine, modulated, scaled;
};
const Norm kNorms[] = {{Producer::Kind::layer_norm, false, false, false},
                       {Producer::Kind::layer_norm, true, false, false},
                       {Producer::Kind::layer_norm, false, true, false},
                       {Producer::Kind::layer_norm, false, true, true},
                       {Producer::Kind::rms_norm, true, false, false},
                       {Producer::Kind::rms_norm, true, false, true}};

TEST_P(OpRows, ProduceNorm) {
  for (const auto& [batch, rows, cols] : kSizes)
    for (const DType out : kBothTypes)
      for (const Norm& norm : kNorms) {
        SCOPED_TRACE(name_of({batch, rows, cols}) +
                     fmt::format(" norm {}", &norm - std::begin(kNorms)));
        const Tensor weight = random({cols}), bias = random({cols});
        const Tensor scale = testing::random_tensor(DType::f32, {cols}, 5, 0.3, 1);
        const auto run = [&](Kernels& kernels, const std::vector<Placed>& operands) {
          Producer p{.kind = norm.kind, .x = operands[0].rows, .eps = 1e-6f};
          if (norm.modulated) p.shift = operands[2].rows;
          if (norm.modulated) p.scale = operands[3].rows;
          if (norm.affine) p.weight = kernels.upload(weight);
          if (norm.affine && norm.kind == Producer::Kind::layer_norm) p.bias = kernels.upload(bias);
          if (norm.scaled) p.input_scale = kernels.upload(scale);
          kernels.produce(p, operands[1].rows);
        };
        std::vector<Operand> operands = {Operand::in_rows(random({batch, rows, cols}, 2, 1.5)),
                                         Operand::out_rows(out, batch, rows, cols)};
        if (norm.modulated)
          for (int i = 0; i < 2; ++i)
            operands.push_back(Operand::in_rows(random({batch, 1, cols})));
        // The mean and variance of terms of one sign lose up to 16 roundings; a value that is
        // scaled after it was rounded to the stream may come from the other side of a tie.
        const bool twice = stream() == DType::bf16 && norm.scaled;
        check(operands, run, {.roundings = 32, .stream_steps = twice ? 1.0 : 0.0});
        if (cols == 17) check_spoiled(operands, run);
      }
}

TEST_P(OpRows, LayerNormOfAConstantRowIsTheShift) {
  const Tensor shift = random({1, 1, 33});
  const auto run = [](Kernels& kernels, const std::vector<Placed>& operands) {
    Producer p{.kind = Producer::Kind::layer_norm, .x = operands[0].rows, .eps = 1e-6f};
    p.shift = operands[2].rows;
    kernels.produce(p, operands[1].rows);
  };
  // A constant whose sum is exact: the mean is the constant itself.
  check({Operand::in_rows(random({1, 4, 33}, 0, 1.5)), Operand::out_rows(stream(), 1, 4, 33),
         Operand::in_rows(shift)},
        run, {.roundings = 2});
}

TEST_P(OpRows, LayerNormLosesNothingToALargeMean) {
  const auto run = [](Kernels& kernels, const std::vector<Placed>& operands) {
    kernels.produce({.kind = Producer::Kind::layer_norm, .x = operands[0].rows, .eps = 1e-6f},
                    operands[1].rows);
  };
  // A mean of 300 is known to some roundings of 300.
  check({Operand::in_rows(random({2, 3, 640}, 1, 300)), Operand::out_rows(DType::f32, 2, 3, 640)},
        run, {.roundings = 1200, .stream_steps = stream() == DType::bf16 ? 1.0 : 0.0});
}

TEST_P(OpRows, Apply) {
  for (const auto& [batch, rows, cols] : kSizes)
    for (const DType acc : {DType::f32, stream()})
      for (const Act act : {Act::none, Act::gelu_tanh})
        for (int parts = 0; parts < 8; ++parts) {
          const bool with_bias = parts & 1, with_gate = parts & 2, with_residual = parts & 4;
          SCOPED_TRACE(name_of({batch, rows, cols}) + fmt::format(" parts {}", parts));
          const Tensor bias = random({cols});
          std::vector<Operand> operands = {
              Operand::in_rows(testing::random_tensor(acc, {batch, rows, cols}, 4))};
          if (with_residual)  // in place
            operands.push_back(Operand::in_out_rows(random({batch, rows, cols})));
          else
            operands.push_back(Operand::out_rows(stream(), batch, rows, cols));
          if (with_gate) operands.push_back(Operand::in_rows(random({batch, 1, cols})));
          const auto run = [&](Kernels& kernels, const std::vector<Placed>& placed) {
            Epilogue e{.act = act};
            if (with_bias) e.bias = kernels.upload(bias);
            if (with_gate) e.gate = placed[2].rows;
            if (with_residual) e.residual = placed[1].rows;
            kernels.apply(e, placed[0].rows, placed[1].rows);
          };
          check(operands, run, {.roundings = 16});
          if (cols == 17) check_spoiled(operands, run);
        }
}

TEST_P(OpRows, ApplyInPlace) {
  const auto run = [](Kernels& kernels, const std::vector<Placed>& operands) {
    kernels.apply({.act = Act::silu}, operands[0].rows, operands[0].rows);
  };
  check({Operand::in_out_rows(random({2, 3, 131}))}, run, {.roundings = 16});
}

TEST_P(OpRows, Embed) {
  for (const auto& [batch, rows, cols] : kSizes)
    for (const DType table_type : kBothTypes)
      for (const bool placed_too : {false, true}) {
        SCOPED_TRACE(name_of({batch, rows, cols}));
        const Tensor table = testing::random_tensor(table_type, {11, cols}, 3);
        const Tensor positions = testing::random_tensor(table_type, {rows + 2, cols}, 4);
        std::vector<int32_t> ids;
        for (int64_t i = 0; i < batch * rows; ++i) ids.push_back(static_cast<int32_t>(i * 7 % 11));
        const auto run = [&](Kernels& kernels, const std::vector<Placed>& operands) {
          kernels.embed(operands[0].tensor, kernels.upload(table),
                        placed_too ? kernels.upload(positions) : Tensor(), operands[1].rows);
        };
        check({Operand::in_tensor(Tensor::from<int32_t>(ids, {batch, rows})),
               Operand::out_rows(stream(), batch, rows, cols)},
              run, {.roundings = 1});
      }
}

TEST_P(OpRows, EulerStep) {
  for (const auto& [batch, rows, cols] : kSizes)
    for (const DType velocity : kBothTypes) {
      SCOPED_TRACE(name_of({batch, rows, cols}));
      const auto run = [](Kernels& kernels, const std::vector<Placed>& operands) {
        kernels.euler_step(operands[0].rows, 0.75f, 0.4f, operands[1].rows);
      };
      const std::vector<Operand> operands = {
          Operand::in_rows(testing::random_tensor(velocity, {batch, rows, cols}, 8)),
          Operand::in_out_rows(random({batch, rows, cols}))};
      check(operands, run, {.roundings = 4});
      if (cols == 17) check_spoiled(operands, run);
    }
}

TEST_P(OpRows, AllFinite) {
  const auto kernels = std::get<0>(GetParam()).make(2);
  for (const auto& [batch, rows, cols] : kSizes) {
    const Tensor wide = random({batch, rows, cols + 2});
    const auto finite = [&](int64_t first) {
      const Tensor on_device = kernels->upload(wide);
      return kernels->all_finite(Rows(on_device).columns(first, cols));
    };
    EXPECT_TRUE(finite(0));
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      const Tensor last = converted(Tensor::from<float>({bad}, {1}), stream());
      std::memcpy(Rows(wide).at(batch - 1, rows - 1), last.raw(), dtype_bytes(stream()));
      EXPECT_FALSE(finite(0)) << name_of({batch, rows, cols});
      EXPECT_TRUE(finite(1)) << name_of({batch, rows, cols});
    }
  }
}

TEST_P(OpRows, RefusesOperandsThatDoNotFit) {
  const auto kernels = std::get<0>(GetParam()).make(1);
  const Tensor x = random({2, 3, 8}), narrow = random({2, 3, 7}), out = random({2, 3, 8});
  EXPECT_THROW(kernels->produce({.x = x}, narrow), Error);
  EXPECT_THROW(kernels->produce({.x = x, .factor = narrow}, out), Error);
  EXPECT_THROW(kernels->produce({.x = x, .shift = x}, out), Error);
  EXPECT_THROW(kernels->produce({.x = x, .weight = random({7})}, out), Error);
  EXPECT_THROW(kernels->apply({}, narrow, out), Error);
  EXPECT_THROW(kernels->apply({.bias = random({7})}, x, out), Error);
  EXPECT_THROW(kernels->apply({.gate = x}, x, out), Error);
  EXPECT_THROW(kernels->euler_step(narrow, 1, 0, out), Error);
  const Tensor ids = Tensor::from<int32_t>({0, 1, 2, 3, 4, 5}, {2, 3});
  EXPECT_THROW(kernels->embed(ids, random({9, 7}), {}, out), Error);
  EXPECT_THROW(kernels->embed(ids, random({9, 8}), random({2, 8}), out), Error);
}

}  // namespace
}  // namespace fluxq
