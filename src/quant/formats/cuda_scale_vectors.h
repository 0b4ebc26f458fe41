/// Small vectors that a product on the GPU reads beside its codes.
#pragma once

#include "kernels/cuda/cuda_kernels.h"

namespace fluxq::cuda {

/// out[b, r] = the scale of row r of matrix b: f32 [batch, at least rows], from scales [batch *
/// rows] or [batch].
void spread_scales(CudaKernels& kernels, const Tensor& scale, int64_t batch, int64_t rows,
                   const Tensor& out);

/// What makes gate * (w_scale * sum + bias) a product with scales and a bias of its own: scale f32
/// [batch, out] = gate * w_scale (one of all outputs, or one each), gated_bias bf16 [batch, out] =
/// gate * bias rounded (nothing without a bias). gate bf16 [batch, 1, out], bias bf16 [out] or
/// empty.
void fold_gate(CudaKernels& kernels, const Rows& gate, const Tensor& w_scale, const Tensor& bias,
               const Tensor& scale, const Tensor& gated_bias);

}  // namespace fluxq::cuda
