#include "kernels/cuda/gemm_s8.cuh"

namespace fluxq::cuda {

const char* gemm_s8_gelu(const S8Product& product) {
  return s8::Wide<s8::WithGelu, false>::run(product);
}

}  // namespace fluxq::cuda
