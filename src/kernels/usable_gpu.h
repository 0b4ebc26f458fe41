/// What fluxq's CUDA kernels need of a machine. Known to every build: `fluxq doctor` tells it.
#pragma once

#include <string_view>

#include "base/gpu_driver.h"

namespace fluxq {

/// What they are built with, and the first driver that runs it.
inline constexpr int kBuiltCuda = 13000;
inline constexpr std::string_view kDriverForBuiltCuda = "580";

/// They are built for compute capability 9.0 (sm_90a: H100, H200) and run nowhere else.
bool runs_built_kernels(const CudaDevice& device);

/// The first GPU, after finding that they run there, before CUDA itself would fail with a less
/// telling error. `driver`: nullptr where there is none. Errors: no_device, driver_too_old,
/// unsupported (another GPU).
CudaDevice usable_gpu(const CudaDriver* driver);

/// That of this machine, without beginning to use it; Error(unsupported) too in a build without
/// CUDA.
CudaDevice usable_gpu_here();

}  // namespace fluxq
