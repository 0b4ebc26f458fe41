/// What of CUDA this program was built with, and what of it the machine has.
#pragma once

#include "doctor/facts.h"

namespace fluxq {

/// "sm_90a", or nothing for a build without CUDA.
std::string built_architectures();

/// Loads the driver, NVML and the CUDA libraries, and lets them go again. Never fails.
DriverFacts read_driver();

}  // namespace fluxq
