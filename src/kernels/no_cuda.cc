// What a build without CUDA has in place of kernels/cuda.
#ifndef FLUXQ_CUDA

#include "kernels/kernels.h"

namespace fluxq {

std::unique_ptr<Kernels> make_cuda_kernels() {
  fail(ErrorCode::unsupported, "device cuda: this fluxq was built without CUDA");
}

}  // namespace fluxq

#endif
