#include "kernels/cuda/gemm_s8.cuh"

namespace fluxq::cuda {

const char* gemm_s8_sparse_bias(const S8Product& product) {
  return s8::Wide<s8::WithBias, true>::run(product);
}

}  // namespace fluxq::cuda
