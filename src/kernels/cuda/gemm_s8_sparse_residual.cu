#include "kernels/cuda/gemm_s8.cuh"

namespace fluxq::cuda {

const char* gemm_s8_sparse_residual(const S8Product& product) {
  return s8::Deep<s8::WithResidual, true>::run(product);
}

}  // namespace fluxq::cuda
