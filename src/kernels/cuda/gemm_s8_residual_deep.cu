#include "kernels/cuda/gemm_s8.cuh"

namespace fluxq::cuda {

const char* gemm_s8_residual_deep(const S8Product& product) {
  return s8::Deep<s8::WithResidual, false>::run(product);
}

}  // namespace fluxq::cuda
