// The products of cuda_gemm_scheme.h. Each matrix of a batch is multiplied by itself, so that its
// bytes do not depend on the others, except where one launch for all gives the same bytes.
#include "kernels/cuda/blas.h"
#include "kernels/cuda/few_rows_gemm.h"
#include "kernels/cuda/gemm_s8.h"
#include "kernels/cuda/plain_gemm.h"
#include "quant/formats/cuda_gemm_scheme.h"
#include "quant/formats/cuda_scale_vectors.h"

namespace fluxq {
namespace {

// Whether cuBLASLt has all of the epilogue, a gate apart.
bool blas_takes(const Epilogue& epilogue) {
  return epilogue.act == Act::none ||
         (epilogue.act == Act::gelu_tanh && epilogue.gate.empty() && epilogue.residual.empty());
}

CudaBlas::Ending blas_ending(const Epilogue& epilogue) {
  return {epilogue.bias.raw(), epilogue.act == Act::gelu_tanh, epilogue.residual};
}

}  // namespace

void multiply_as_is(CudaKernels& kernels, const Rows& x, const Rows& w, const Epilogue& epilogue,
                    const Rows& out) {
  if (cuda::few_rows_gemm_takes(x, w))
    return cuda::few_rows_gemm(kernels, x, w, {}, {}, epilogue, out);
  for (int64_t b = 0; b < x.batch; ++b) {
    const Epilogue its = item_of(epilogue, b);
    const bool done = blas_takes(its) && its.gate.empty() &&
                      kernels.blas().multiply(x.item(b), w, {}, blas_ending(its), out.item(b));
    if (!done) cuda::plain_gemm(kernels, x.item(b), w, {}, {}, its, out.item(b));
  }
}

FusedParts fused_as_is(DType stream, const Epilogue& wanted) {
  // The library's tanh is not exact enough for f32.
  return {.bias = true,
          .act = wanted.act == Act::gelu_tanh && stream == DType::bf16,
          .gate = false,
          .residual = wanted.act == Act::none && wanted.gate.empty()};
}

void multiply_e4m3(CudaKernels& kernels, const Prepared& input, const CodesWeight& weight,
                   const Epilogue& epilogue, const Rows& out) {
  using Kind = CudaBlas::Scales::Kind;
  const Rows& x = input.codes;
  const bool per_sample = input.scale.elements() != x.batch * x.rows;
  const bool one_for_all = weight.scale.elements() == 1;
  const bool scalar = input.scale.elements() == x.batch && one_for_all && epilogue.gate.empty();
  const float* x_scale = input.scale.data<float>();
  const float* w_scale = weight.scale.data<float>();
  if (cuda::few_rows_gemm_takes(x, weight.codes)) {
    return cuda::few_rows_gemm(kernels, x, weight.codes, {x_scale}, {w_scale, one_for_all},
                               epilogue, out);
  }

  Arena& arena = kernels.arena();
  Arena::Scope scope(arena);
  // The library's scales, each picture's too, begin at multiples of 16 bytes.
  const int64_t scales_of_picture = scalar ? 1 : x.rows;
  const int64_t scales_stride = (scales_of_picture + 3) / 4 * 4;
  Tensor of_x, of_w, bias;
  if ((per_sample && !scalar) || (x.batch > 1 && scales_stride != scales_of_picture)) {
    of_x = arena.take(DType::f32, {x.batch, scales_stride});
    cuda::spread_scales(kernels, input.scale, x.batch, scales_of_picture, of_x);
  }
  if (!scalar) {
    if (!epilogue.gate.empty()) {
      of_w = arena.take(DType::f32, {x.batch, weight.out});
      if (!epilogue.bias.empty()) bias = arena.take(DType::bf16, {x.batch, weight.out});
      cuda::fold_gate(kernels, epilogue.gate, weight.scale, epilogue.bias, of_w, bias);
    } else if (one_for_all) {
      of_w = arena.take(DType::f32, {1, weight.out});
      cuda::spread_scales(kernels, weight.scale, 1, weight.out, of_w);
    }
  }
  for (int64_t b = 0; b < x.batch; ++b) {
    const Epilogue its = item_of(epilogue, b);
    const float* its_scale = x_scale + b * (per_sample ? 1 : x.rows);
    CudaBlas::Scales scales = {Kind::scalar, its_scale, w_scale};
    CudaBlas::Ending ending = blas_ending(its);
    if (!of_x.empty()) scales.x = of_x.data<float>() + b * scales_stride;
    if (!scalar) {
      scales.kind = Kind::vectors;
      if (!of_w.empty()) scales.w = of_w.data<float>() + (its.gate.empty() ? 0 : b * weight.out);
      if (!bias.empty()) ending.bias = bias.data<bf16>() + b * weight.out;
    }
    const bool done = blas_takes(its) &&
                      kernels.blas().multiply(x.item(b), weight.codes, scales, ending, out.item(b));
    if (!done) {
      cuda::plain_gemm(kernels, x.item(b), weight.codes, {its_scale, per_sample},
                       {w_scale, one_for_all}, its, out.item(b));
    }
  }
}

FusedParts fused_e4m3(const Epilogue& wanted) {
  const bool plain = wanted.act == Act::none;
  return {.bias = true, .act = wanted.act == Act::gelu_tanh, .gate = plain, .residual = plain};
}

void multiply_s8(CudaKernels& kernels, const Prepared& input, const CodesWeight& weight,
                 const Epilogue& epilogue, const Rows& out) {
  const float* x_scale = input.scale.data<float>();
  const float* w_scale = weight.scale.data<float>();
  if (cuda::few_rows_gemm_takes(input.codes, weight.codes)) {
    return cuda::few_rows_gemm(kernels, input.codes, weight.codes, {x_scale}, {w_scale}, epilogue,
                               out);
  }
  if (cuda::gemm_s8(kernels, input.codes, x_scale, {weight.codes, w_scale}, epilogue, out)) return;
  cuda::plain_gemm(kernels, input.codes, weight.codes, {x_scale}, {w_scale}, epilogue, out);
}

FusedParts fused_s8(const Epilogue& wanted) {
  const bool residual = cuda::gemm_s8_fuses_residual(wanted);
  return {
      .bias = true, .act = cuda::gemm_s8_fuses_act(wanted), .gate = residual, .residual = residual};
}

}  // namespace fluxq
