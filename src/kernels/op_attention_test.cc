// Attention and what prepares its queries and keys, against the reference.

#include "kernels/op_test.h"

namespace fluxq {
namespace {

using testing::Operand, testing::Placed;

class OpAttention : public testing::OpTest {
 protected:
  struct Case {
    int64_t batch, heads, dim, queries, keys;
    bool bias = false, causal = false;
    double spread = 1;  // of the scores
    int64_t gap = 3;    // between rows
  };
  std::vector<Operand> operands(const Case& c) {
    const int64_t cols = c.heads * c.dim;
    std::vector<Operand> operands = {Operand::in_rows(random({c.batch, c.queries, cols})),
                                     Operand::in_rows(random({c.batch, c.keys, cols})),
                                     Operand::in_rows(random({c.batch, c.keys, cols})),
                                     Operand::out_rows(stream(), c.batch, c.queries, cols)};
    for (Operand& operand : operands) operand.gap = c.gap;
    return operands;
  }
  static testing::Operation attend(const Case& c) {
    const Tensor bias =
        testing::random_tensor(DType::f32, {c.heads, c.queries, c.keys}, 9, c.spread);
    return [=](Kernels& kernels, const std::vector<Placed>& operands) {
      Attention args{.q = operands[0].rows,
                     .k = operands[1].rows,
                     .v = operands[2].rows,
                     .out = operands[3].rows,
                     .heads = c.heads,
                     .scale = static_cast<float>(c.spread / std::sqrt(c.dim)),
                     .causal = c.causal};
      if (c.bias) args.bias = kernels.upload(bias);
      kernels.attention(args);
    };
  }
};
FLUXQ_OP_TESTS(OpAttention);

// The last ones have aligned rows, which some devices have other kernels for.
TEST_P(OpAttention, IsTheReferences) {
  for (const Case& c :
       {Case{1, 1, 1, 1, 1}, Case{3, 2, 16, 3, 1}, Case{3, 1, 17, 1, 33}, Case{1, 3, 64, 17, 127},
        Case{2, 2, 128, 33, 65}, Case{1, 1, 128, 127, 127}, Case{3, 2, 64, 33, 33, false, true},
        Case{1, 2, 8, 17, 17, true, true}, Case{2, 3, 64, 17, 17, true, false},
        Case{1, 2, 32, 65, 130, false, false, 30}, Case{1, 1, 8, 1, 1, false, false, 1, 8},
        Case{2, 3, 128, 130, 200, false, false, 3, 8}, Case{3, 2, 64, 77, 77, false, true, 1, 8},
        Case{2, 3, 64, 72, 72, true, false, 1, 8}, Case{1, 2, 64, 40, 77, true, false, 1, 8}}) {
    SCOPED_TRACE(
        fmt::format("batch {}, {} heads of {}, {} queries, {} keys, bias {}, causal {}, gap {}",
                    c.batch, c.heads, c.dim, c.queries, c.keys, c.bias, c.causal, c.gap));
    // A score, some 4 times its spread, errs by sqrt(dim) roundings, and its weight by as much. On
    // a bf16 stream weights may be rounded to bf16 before they multiply the values.
    check(operands(c), attend(c),
          {.roundings = 32 + 8 * c.spread * std::sqrt(static_cast<double>(c.dim)),
           .stream_steps = stream() == DType::bf16 ? 0.5 : 0,
           .same_share = 0.5});
  }
}

// Scores so large that their exponentials overflow, and so different that all weight but one is 0.
TEST_P(OpAttention, TakesLargeScores) {
  const Case c{1, 1, 16, 5, 40, false, false, 400};
  std::vector<Operand> large = operands(c);
  // Keys and queries of few bits, so that scores are exact in f32 and the choice of key is clear.
  for (int i : {0, 1}) {
    const Tensor floats = converted(large[i].values, DType::f32);
    for (int64_t j = 0; j < floats.elements(); ++j)
      floats.data<float>()[j] = std::round(4 * floats.data<float>()[j]) / 4;
    large[i].values = converted(floats, stream());
  }
  check(large, attend(c),
        {.roundings = 64, .stream_steps = stream() == DType::bf16 ? 0.5 : 0, .same_share = 0.5});
}

TEST_P(OpAttention, KeepsNan) {
  for (const bool bias : {false, true})
    for (const Case& c :
         {Case{2, 2, 16, 5, 9, bias, false}, Case{2, 2, 64, 70, 72, bias, false, 1, 8}})
      check_spoiled(operands(c), attend(c));
}

TEST_P(OpAttention, QkNormRope) {
  struct Rotation {
    int64_t batch, rows, heads, dim;
  };
  for (const Rotation& c : {Rotation{1, 1, 1, 2}, Rotation{3, 3, 2, 16}, Rotation{2, 17, 3, 34},
                            Rotation{1, 33, 2, 128}, Rotation{3, 127, 1, 64}}) {
    SCOPED_TRACE(fmt::format("[{}, {}, {} x {}]", c.batch, c.rows, c.heads, c.dim));
    const Tensor q_weight = random({c.dim}, 0.3, 1), k_weight = random({c.dim}, 0.3, 1);
    const Tensor rope = Tensor::on_host(DType::f32, {c.rows, c.dim / 2, 2});
    for (int64_t i = 0; i < c.rows * c.dim / 2; ++i) {
      rope.data<float>()[2 * i] = static_cast<float>(std::cos(0.1 * static_cast<double>(i)));
      rope.data<float>()[2 * i + 1] = static_cast<float>(std::sin(0.1 * static_cast<double>(i)));
    }
    const auto run = [&](Kernels& kernels, const std::vector<Placed>& operands) {
      kernels.qk_norm_rope(operands[0].rows, operands[1].rows, kernels.upload(q_weight),
                           kernels.upload(k_weight), kernels.upload(rope), 1e-6f);
    };
    std::vector<Operand> operands;
    for (int i = 0; i < 2; ++i)
      operands.push_back(Operand::in_out_rows(random({c.batch, c.rows, c.heads * c.dim}, 2)));
    // On a bf16 stream two normed values, each perhaps from the other side of a tie, are rotated.
    check(operands, run, {.roundings = 24, .stream_steps = stream() == DType::bf16 ? 1.5 : 0});
    if (c.dim == 16) check_spoiled(operands, run);
  }
}

TEST_P(OpAttention, RefusesOperandsThatDoNotFit) {
  const auto kernels = std::get<0>(GetParam()).make(1);
  const Tensor x = random({2, 3, 8}), narrow = random({2, 3, 7}), longer = random({2, 4, 8});
  EXPECT_THROW(kernels->attention({.q = x, .k = x, .v = narrow, .out = x}), Error);
  EXPECT_THROW(kernels->attention({.q = x, .k = x, .v = longer, .out = x}), Error);
  EXPECT_THROW(kernels->attention({.q = x, .k = x, .v = x, .out = x, .heads = 3}), Error);
  EXPECT_THROW(kernels->attention({.q = x, .k = x, .v = x, .out = longer}), Error);
  const Tensor rope = testing::random_tensor(DType::f32, {3, 2, 2}, 1), four = random({4});
  EXPECT_THROW(kernels->qk_norm_rope(x, longer, four, four, rope, 0), Error);
  EXPECT_THROW(kernels->qk_norm_rope(x, x, random({3}), four, rope, 0), Error);
  EXPECT_THROW(kernels->qk_norm_rope(longer, longer, four, four, rope, 0), Error);
}

}  // namespace
}  // namespace fluxq
