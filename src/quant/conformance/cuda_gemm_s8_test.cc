// Products of int8 are exact, so that their bytes do not depend on how the kernels share out the
// work: a matrix of many tiles, the last of which are split along the sum, gives what its rows do
// a few at a time.

#include "kernels/testing.h"
#include "quant/conformance/cuda_fixture.h"
#include "quant/scheme.h"

namespace fluxq {
namespace {

using testing::same_bytes;

// 10 x 16 tiles [128, 256] on 132 multiprocessors leave most of these without one in a second
// round.
constexpr int64_t kRows = 1280, kOut = 4096, kIn = 2048, kAtATime = 128;

class CudaGemmS8 : public conformance::CudaFixture,
                   public ::testing::WithParamInterface<const char*> {};

TEST_P(CudaGemmS8, AProductIsThatOfItsRows) {
  const auto on_gpu = [this](uint64_t key, Shape shape) {
    const Tensor tensor = kernels().allocate(DType::bf16, std::move(shape));
    kernels().fill_random(tensor, key, 0, 1.0f);
    return tensor;
  };
  const Scheme& scheme = find_scheme(GetParam());
  const auto on = scheme.on(kernels());
  const auto packed = on->pack(on_gpu(1, {kOut, kIn}), "w");
  ASSERT_TRUE(packed);
  const auto weight = on->load(*packed, 0, kIn);
  const Tensor x = on_gpu(2, {1, kRows, kIn}), bias = on_gpu(3, {kOut}),
               gate = on_gpu(4, {1, 1, kOut}), residual = on_gpu(5, {1, kRows, kOut});
  const Prepared input = on->prepare({.x = x});
  const Tensor whole = kernels().allocate(DType::bf16, {1, kRows, kOut});
  const Tensor parts = kernels().allocate(DType::bf16, {1, kRows, kOut});

  Epilogue with_gelu = {.bias = bias, .act = Act::gelu_tanh};
  Epilogue with_residual = {.bias = bias};
  with_residual.gate = gate, with_residual.residual = residual;
  for (const Epilogue& epilogue : {Epilogue{.bias = bias}, with_gelu, with_residual}) {
    on->matmul(input, *weight, epilogue, whole);
    for (int64_t begin = 0; begin < kRows; begin += kAtATime) {
      Prepared some = input;
      some.codes = some.codes.middle(begin, kAtATime);
      some.scale = some.scale.slice(begin, begin + kAtATime);
      Epilogue its = epilogue;
      if (!its.residual.empty()) its.residual = its.residual.middle(begin, kAtATime);
      on->matmul(some, *weight, its, Rows(parts).middle(begin, kAtATime));
    }
    ASSERT_TRUE(kernels().all_finite(whole));
    EXPECT_TRUE(same_bytes(kernels().download(whole), kernels().download(parts)));
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes, CudaGemmS8, ::testing::Values("int8dq", "sparse24-int8dq"),
                         [](const auto& scheme) {
                           return scheme.param == std::string_view("int8dq") ? "dense" : "sparse";
                         });

}  // namespace
}  // namespace fluxq
