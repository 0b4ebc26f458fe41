/// The weights of q, k and v for gemm_qkv.h.
#pragma once

#include "kernels/cuda/cuda_kernels.h"

namespace fluxq::cuda {

/// to [1, 3 * heads * 128, in] = the rows of q, k and v, [1, heads * 128, in] each, in the order of
/// gemm_qkv.h. All rows are aligned to 16 bytes and have a multiple of them.
void arrange_qkv(CudaKernels& kernels, const Rows& q, const Rows& k, const Rows& v, int64_t heads,
                 const Rows& to);

}  // namespace fluxq::cuda
