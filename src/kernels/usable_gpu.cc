#include "kernels/usable_gpu.h"

#include "base/error.h"

namespace fluxq {
namespace {

constexpr std::string_view kAdvice = "; the device cpu works";

}  // namespace

bool runs_built_kernels(const CudaDevice& device) { return device.major == 9 && device.minor == 0; }

CudaDevice usable_gpu(const CudaDriver* driver) {
  if (!driver) {
    fail(ErrorCode::no_device, "the GPU: expected a driver (libcuda.so.1), found none{}", kAdvice);
  }
  if (driver->devices().empty()) {
    fail(ErrorCode::no_device, "the GPU: expected one, found none{}{}",
         driver->trouble().empty() ? "" : " (" + driver->trouble() + ")", kAdvice);
  }
  if (driver->version() < kBuiltCuda) {
    fail(ErrorCode::driver_too_old,
         "the GPU driver: expected one for CUDA {} (driver {}) or newer, got one for CUDA {}{}",
         cuda_version_text(kBuiltCuda), kDriverForBuiltCuda, cuda_version_text(driver->version()),
         kAdvice);
  }
  const CudaDevice& device = driver->devices().front();
  if (!runs_built_kernels(device)) {
    fail(ErrorCode::unsupported,
         "the GPU {}: expected compute capability 9.0 (H100, H200), got {}.{}{}", device.name,
         device.major, device.minor, kAdvice);
  }
  return device;
}

}  // namespace fluxq
