#include "kernels/cuda/check.h"

#include "base/error.h"

namespace fluxq::cuda {

void check(cudaError_t status, std::string_view what) {
  if (status == cudaSuccess) return;
  const ErrorCode code = [status] {
    switch (status) {
      case cudaErrorMemoryAllocation:
        return ErrorCode::out_of_memory_device;
      case cudaErrorNoDevice:
      case cudaErrorInitializationError:
      case cudaErrorStubLibrary:
        return ErrorCode::no_device;
      case cudaErrorInsufficientDriver:
      case cudaErrorCallRequiresNewerDriver:
        return ErrorCode::driver_too_old;
      case cudaErrorNoKernelImageForDevice:
      case cudaErrorInvalidDeviceFunction:
        return ErrorCode::unsupported;
      default:
        return ErrorCode::device_lost;
    }
  }();
  fail(code, "the GPU, {}: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status));
}

void check_device(std::string_view what) {
  size_t free = 0, total = 0;  // any call would do: they all tell of a device that has failed
  check(cudaMemGetInfo(&free, &total), what);
}

void check(cublasStatus_t status, std::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  check_device(what);
  const ErrorCode code =
      status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::out_of_memory_device : ErrorCode::internal;
  fail(code, "cuBLASLt, {}: {}", what, cublasLtGetStatusName(status));
}

void check(cudnnStatus_t status, std::string_view what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  check_device(what);
  fail(ErrorCode::internal, "cuDNN, {}: {}", what, cudnnGetErrorString(status));
}

}  // namespace fluxq::cuda
