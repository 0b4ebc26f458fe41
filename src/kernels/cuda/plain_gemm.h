/// Matrix products of any size and alignment, without tensor cores: what odd shapes fall back to.
#pragma once

#include "kernels/cuda/blas.h"

namespace fluxq::cuda {

/// Scales of the rows of x or of w (device memory): one for each row, or one for all.
struct RowScales {
  const float* values = nullptr;  ///< null: ones
  bool one_for_all = false;       ///< of x: one per matrix of the batch
};

/// out [batch, rows, out] = epilogue(x_scale * w_scale * x [batch, rows, in] w [1, out, in]^T). x
/// and w: both f32, bf16, i8 or e4m3; out: f32 or bf16, the type of the epilogue's operands. Each
/// sum is taken in the order of its terms, in f32, or in s32 for i8.
void plain_gemm(CudaKernels& kernels, const Rows& x, const Rows& w, const RowScales& x_scale,
                const RowScales& w_scale, const Epilogue& epilogue, const Rows& out);

/// CudaBlas::matmul_batched for one picture.
void plain_matmul(CudaKernels& kernels, const CudaBlas::Heads& a, const CudaBlas::Heads& b,
                  bool b_is_nk, const CudaBlas::Heads& out, int64_t m, int64_t n, int64_t k,
                  int64_t heads, float alpha);

}  // namespace fluxq::cuda
