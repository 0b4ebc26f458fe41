#include "kernels/cuda/gemm_qkv.cuh"

namespace fluxq::cuda {

const char* gemm_qkv_s8(const QkvProduct& product) {
  return qkv::Kernel<int8_t, int32_t, cutlass::gemm::KernelTmaWarpSpecializedPingpong>::run(
      product);
}

}  // namespace fluxq::cuda
