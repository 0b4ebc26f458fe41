/// Products of a few rows with a large weight: bound by reading the weight once.
#pragma once

#include "kernels/cuda/plain_gemm.h"

namespace fluxq::cuda {

/// Whether few_rows_gemm() can: one row in each matrix of x; x and w both bf16, i8 or e4m3, or x in
/// bf16 and w in i8; rows of w of a multiple of 16 bytes, all rows aligned to that.
bool few_rows_gemm_takes(const Rows& x, const Rows& w);

/// out [batch, 1, out] = epilogue(x_scale * w_scale * x [batch, 1, in] w [1, out, in]^T), out and
/// the epilogue's operands in bf16: FLUX's modulation and vector embeddings, whose batch is small
/// and has one row in each matrix. All rows share one reading of the weight, and each is summed in
/// the same order whatever their number: in f32, of e4m3 with fewer bits, of i8 exactly. Where x is
/// in bf16 and w in i8, the weight is w_scale (one per row) * w rounded to bf16, as
/// expand_rows_s8() gives it.
void few_rows_gemm(CudaKernels& kernels, const Rows& x, const Rows& w, const RowScales& x_scale,
                   const RowScales& w_scale, const Epilogue& epilogue, const Rows& out);

}  // namespace fluxq::cuda
