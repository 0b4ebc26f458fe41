#include "pipeline/open_device.h"

#include "base/error.h"
#include "base/text.h"
#include "base/thread_pool.h"

namespace fluxq {
namespace {

constexpr int kMaxThreads = 1024;

/// Null where there is none that could be used.
std::unique_ptr<Kernels> find_gpu() {
  try {
    return make_cuda_kernels();
  } catch (const Error& error) {
    switch (error.code()) {
      case ErrorCode::unsupported:
      case ErrorCode::no_device:
      case ErrorCode::driver_too_old:
        return nullptr;
      default:
        throw;
    }
  }
}

}  // namespace

std::unique_ptr<Kernels> open_device(const std::string& device, int threads) {
  if (threads < 0 || threads > kMaxThreads) {
    fail(ErrorCode::bad_argument, "threads: expected 0 (all cores) to {}, got {}", kMaxThreads,
         threads);
  }
  if (device == "cuda") return make_cuda_kernels();
  if (device == "auto") {
    if (std::unique_ptr<Kernels> gpu = find_gpu()) return gpu;
  } else if (device != "cpu") {
    fail(ErrorCode::bad_argument, "device: expected auto, cpu or cuda, got {}", in_quotes(device));
  }
  return make_cpu_kernels(threads > 0 ? threads : default_threads());
}

std::string resolve_device(const std::string& device) {
  return device == "auto" ? std::string(find_gpu() ? "cuda" : "cpu") : device;
}

}  // namespace fluxq
