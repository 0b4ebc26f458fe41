#include "kernels/cuda/gemm_qkv.cuh"

namespace fluxq::cuda {

const char* gemm_qkv_e4m3(const QkvProduct& product) {
  return qkv::Kernel<cutlass::float_e4m3_t, float,
                     cutlass::gemm::KernelTmaWarpSpecializedPingpongFP8FastAccum>::run(product);
}

}  // namespace fluxq::cuda
