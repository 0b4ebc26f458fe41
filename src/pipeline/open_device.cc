#include "pipeline/open_device.h"

#include "base/error.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "kernels/usable_gpu.h"

namespace fluxq {
namespace {

constexpr int kMaxThreads = 1024;

bool has_usable_gpu() {
  try {
    usable_gpu_here();
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void check_device(const std::string& device, int threads) {
  if (threads < 0 || threads > kMaxThreads) {
    fail(ErrorCode::bad_argument, "threads: expected 0 (all cores) to {}, got {}", kMaxThreads,
         threads);
  }
  if (device == "cuda") usable_gpu_here();
  if (device != "auto" && device != "cpu" && device != "cuda")
    fail(ErrorCode::bad_argument, "device: expected auto, cpu or cuda, got {}", in_quotes(device));
}

std::string resolve_device(const std::string& device) {
  return device != "auto" ? device : has_usable_gpu() ? "cuda" : "cpu";
}

std::unique_ptr<Kernels> open_device(const std::string& device, int threads) {
  check_device(device, threads);
  if (resolve_device(device) == "cuda") return make_cuda_kernels();
  return make_cpu_kernels(threads > 0 ? threads : default_threads());
}

}  // namespace fluxq
