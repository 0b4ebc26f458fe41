#include "pipeline/open_device.h"

#include "base/error.h"
#include "base/thread_pool.h"

namespace fluxq {
namespace {

constexpr int kMaxThreads = 1024;

}  // namespace

std::unique_ptr<Kernels> open_device(const std::string& device, int threads) {
  if (threads < 0 || threads > kMaxThreads) {
    fail(ErrorCode::bad_argument, "threads: expected 0 (all cores) to {}, got {}", kMaxThreads,
         threads);
  }
  if (device == "cpu") return make_cpu_kernels(threads > 0 ? threads : default_threads());
  if (device == "cuda") return make_cuda_kernels();
  fail(ErrorCode::bad_argument, "device: expected cpu or cuda, got \"{}\"", device);
}

}  // namespace fluxq
