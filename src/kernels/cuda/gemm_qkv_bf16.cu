#include "kernels/cuda/gemm_qkv.cuh"

namespace fluxq::cuda {

const char* gemm_qkv_bf16(const QkvProduct& product) {
  return qkv::Kernel<cutlass::bfloat16_t, float,
                     cutlass::gemm::KernelTmaWarpSpecializedPingpong>::run(product);
}

}  // namespace fluxq::cuda
