/// Failures of CUDA calls as Errors.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <cudnn.h>

#include <string_view>

namespace fluxq::cuda {

/// Error unless `status` is success: out_of_memory_device, no_device, driver_too_old, or
/// device_lost (which includes what an earlier kernel did: launches are asynchronous). `what` names
/// the call.
void check(cudaError_t status, std::string_view what);
/// Error(device_lost) if the device has failed. Before a library's complaint is told: what it met
/// may be an earlier kernel's doing.
void check_device(std::string_view what);
/// Error unless success: that of check_device(), out_of_memory_device, or internal with the
/// library's name for the status.
void check(cublasStatus_t status, std::string_view what);
void check(cudnnStatus_t status, std::string_view what);
/// Of the launch just made.
inline void check_launch(std::string_view kernel) { check(cudaGetLastError(), kernel); }

}  // namespace fluxq::cuda
