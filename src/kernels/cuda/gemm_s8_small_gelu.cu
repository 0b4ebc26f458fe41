#include "kernels/cuda/gemm_s8.cuh"

namespace fluxq::cuda {

const char* gemm_s8_small_gelu(const S8Product& product) {
  return s8::Small<s8::WithGelu>::run(product);
}

}  // namespace fluxq::cuda
