/// Products of a few rows with a large weight: bound by reading the weight once.
#pragma once

#include "kernels/cuda/cuda_kernels.h"

namespace fluxq::cuda {

/// Whether few_rows_gemm() can: bf16, `in` a multiple of 8, rows aligned to 16 bytes.
bool few_rows_gemm_takes(const Rows& x, const Rows& w);

/// out [batch, 1, out] = epilogue(x [batch, 1, in] w [1, out, in]^T) in bf16: FLUX's modulation and
/// vector embeddings, whose batch is small and has one row in each matrix. All rows share one
/// reading of the weight, and each is summed in the same order whatever their number.
void few_rows_gemm(CudaKernels& kernels, const Rows& x, const Rows& w, const Epilogue& epilogue,
                   const Rows& out);

}  // namespace fluxq::cuda
