#include "kernels/cuda/gemm_s8.cuh"

namespace fluxq::cuda {

const char* gemm_s8_residual(const S8Product& product) {
  return s8::Narrow<s8::WithResidual>::run(product);
}

}  // namespace fluxq::cuda
