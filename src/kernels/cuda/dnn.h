/// Attention and convolutions on the GPU: cuDNN's graphs, built once per shape.
#pragma once

#include <cudnn.h>

#include "kernels/cuda/cuda_kernels.h"

namespace fluxq {

class CudaDnn {
 public:
  explicit CudaDnn(CudaKernels& kernels);
  ~CudaDnn();
};

}  // namespace fluxq
