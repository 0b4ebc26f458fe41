/// From the name of a device, as users write it, to its kernels.
#pragma once

#include <memory>
#include <string>

#include "kernels/kernels.h"

namespace fluxq {

/// `device`: "cpu", "cuda", or "auto": the GPU where this build and this machine have a usable one,
/// else the CPU. `threads`: of the CPU, 0 for one per core. Errors: bad_argument; of "cuda"
/// unsupported (this build lacks it, or another GPU), no_device, driver_too_old; of a GPU that is
/// there but cannot be had now device_lost, out_of_memory_device.
std::unique_ptr<Kernels> open_device(const std::string& device, int threads);

/// The errors of open_device() that show before a device is used: all but device_lost and
/// out_of_memory_device.
void check_device(const std::string& device, int threads);

/// What "auto" is here, "cpu" or "cuda"; any other name as it is. Uses no device.
std::string resolve_device(const std::string& device);

}  // namespace fluxq
