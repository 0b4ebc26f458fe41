/// Matrix products on the GPU: cuBLASLt's, with its algorithms chosen once per shape.
#pragma once

#include <cublasLt.h>

#include "kernels/cuda/cuda_kernels.h"

namespace fluxq {

class CudaBlas {
 public:
  explicit CudaBlas(CudaKernels& kernels);
  ~CudaBlas();
};

}  // namespace fluxq
