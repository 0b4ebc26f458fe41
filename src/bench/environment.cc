#include "bench/environment.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/gpu_driver.h"
#include "base/machine.h"
#include "base/nvml.h"
#include "base/sha256.h"
#include "fluxq/version.h"
#include "kernels/cpu/gemm.h"
#include "pipeline/model_weights.h"

namespace fluxq {
namespace {

/// "oneDNN bf16 (avx512_core_bf16)" -> "avx512_core_bf16": the most that the products use here.
std::string instruction_set() {
  const std::string kernel = gemm_kernel_name(GemmType::bf16);
  const size_t open = kernel.find('('), close = kernel.find(')');
  if (open == std::string::npos || close == std::string::npos) return kernel;
  return kernel.substr(open + 1, close - open - 1);
}

/// The first GPU, which `device` cuda is.
void describe_gpu(Environment& environment) {
  if (const auto nvml = Nvml::load()) environment.driver = nvml->driver_version();
  const auto cuda = CudaDriver::load();
  if (!cuda || cuda->devices().empty()) return;
  environment.cuda = cuda_version_text(cuda->version());
  environment.device_name = cuda->devices()[0].name;
  environment.device_memory_bytes = cuda->devices()[0].memory_bytes;
}

}  // namespace

std::string utc_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

Environment read_environment(const ModelFolder& model, const std::string& device, int threads,
                             const CancelToken& cancel) {
  Environment environment = {.fluxq_version = std::string(version()),
                             .binary_sha256 = sha256_file("/proc/self/exe", cancel),
                             .build = build_name(),
                             .model_name = model.name,
                             .weights_sha256 = model_weights_sha256(model, threads, cancel),
                             .variant = model.variant,
                             .synthetic = model.synthetic,
                             .device = device,
                             .device_name = processor_name(),
                             .driver = "",
                             .cuda = "",
                             .kernel = kernel_release(),
                             .os = operating_system(),
                             .isa = instruction_set(),
                             .threads = threads,
                             .host_memory_bytes = total_memory_bytes(),
                             .device_memory_bytes = {},
                             .ceiling_flops = {},
                             .ceiling_bytes = 0,
                             .started = utc_now()};
  if (device == device_name(Device::cuda)) describe_gpu(environment);
  return environment;
}

}  // namespace fluxq
