// What a build without CUDA has in place of kernels/cuda.
#ifndef FLUXQ_CUDA

#include "kernels/kernels.h"
#include "kernels/usable_gpu.h"

namespace fluxq {

namespace {

[[noreturn]] void fail_without_cuda() {
  fail(ErrorCode::unsupported, "device cuda: this fluxq was built without CUDA");
}

}  // namespace

CudaDevice usable_gpu_here() { fail_without_cuda(); }
std::unique_ptr<Kernels> make_cuda_kernels() { fail_without_cuda(); }

}  // namespace fluxq

#endif
