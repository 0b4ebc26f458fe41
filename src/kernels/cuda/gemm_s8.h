/// 8-bit integer products on Hopper's tensor cores with the scales, bias, activation, gate and
/// residual in the kernel's epilogue (CUTLASS; cuBLASLt has no such product with a bf16 result).
#pragma once

#include "kernels/cuda/cuda_kernels.h"

namespace fluxq::cuda {

/// Which of its parts a product fuses: the bias, then gelu_tanh alone, or a residual with or
/// without a gate.
bool gemm_s8_fuses_act(const Epilogue& wanted);
bool gemm_s8_fuses_residual(const Epilogue& wanted);

/// A weight's codes i8 [1, out, in] and scale [out].
struct S8Weight {
  Rows codes;
  const float* scale = nullptr;
};

/// out [batch, rows, out] bf16 = epilogue(x_scale * w_scale * x w^T), x i8 [batch, rows, in] and
/// x_scale [batch * rows]; of the epilogue only what it fuses. Sums are exact, so an output's bytes
/// depend on its row and column only. False, with nothing done, for sizes and alignments that the
/// kernels do not take.
bool gemm_s8(CudaKernels& kernels, const Rows& x, const float* x_scale, const S8Weight& w,
             const Epilogue& epilogue, const Rows& out);

/// A 2:4 sparse weight [out, in] as the sparse tensor cores read it.
struct SparseS8Weight {
  int64_t out = 0, in = 0;
  Tensor values;    ///< i8 [out, in / 2]: the kept codes
  Tensor metadata;  ///< u8 [in / 128, out rounded up to 64, 16]: their positions, 128 columns at a
                    ///< time
  const float* scale = nullptr;  ///< [out]
};

/// Whether such a weight can be multiplied: `in` a multiple of 128 and `out` of 8.
bool sparse_s8_takes(int64_t out, int64_t in);
/// The shape of its metadata.
Shape sparse_s8_metadata_shape(int64_t out, int64_t in);
/// Writes the rows [out_begin, ...) and columns [0, 8 * columns of `metadata`) of w.metadata from
/// positions stored as formats/sparse24.h does: u8 [1, rows, columns / 8].
void arrange_sparse_metadata(CudaKernels& kernels, const Rows& metadata, SparseS8Weight& w,
                             int64_t out_begin);
/// gemm_s8 with such a weight.
bool gemm_s8_sparse(CudaKernels& kernels, const Rows& x, const float* x_scale,
                    const SparseS8Weight& w, const Epilogue& epilogue, const Rows& out);

}  // namespace fluxq::cuda
