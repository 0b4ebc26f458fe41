/// From the name of a device, as users write it, to its kernels.
#pragma once

#include <memory>
#include <string>

#include "kernels/kernels.h"

namespace fluxq {

/// `device`: "cpu" or "cuda". `threads`: of the CPU, 0 for one per core. Errors: bad_argument;
/// unsupported for a device that this build lacks; no_device, driver_too_old.
std::unique_ptr<Kernels> open_device(const std::string& device, int threads);

}  // namespace fluxq
