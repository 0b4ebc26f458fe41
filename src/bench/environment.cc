#include "bench/environment.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <fstream>

#include "base/sha256.h"
#include "fluxq/version.h"
#include "kernels/cpu/gemm.h"
#include "pipeline/model_weights.h"

namespace fluxq {
namespace {

/// The value of the first line "name<spaces>separator value", without quotes; empty if there is
/// none.
std::string read_value(const char* file, std::string_view name, char separator) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t mark = line.find(separator);
    if (mark == std::string::npos || !line.starts_with(name)) continue;
    std::string value = line.substr(mark + 1);
    std::erase(value, '"');
    value.erase(0, value.find_first_not_of(' '));
    return value;
  }
  return "";
}

std::string kernel_release() {
  utsname name = {};
  if (::uname(&name) != 0) return "";
  return fmt::format("{} {}", name.sysname, name.release);
}

int64_t host_memory_bytes() {
  struct sysinfo info = {};
  return ::sysinfo(&info) == 0 ? static_cast<int64_t>(info.totalram) * info.mem_unit : 0;
}

/// "oneDNN bf16 (avx512_core_bf16)" -> "avx512_core_bf16": the most that the products use here.
std::string instruction_set() {
  const std::string kernel = gemm_kernel_name(GemmType::bf16);
  const size_t open = kernel.find('('), close = kernel.find(')');
  if (open == std::string::npos || close == std::string::npos) return kernel;
  return kernel.substr(open + 1, close - open - 1);
}

std::string build_name() {
#ifdef __clang__
  std::string name = fmt::format("Clang {}.{}", __clang_major__, __clang_minor__);
#else
  std::string name = fmt::format("GCC {}.{}", __GNUC__, __GNUC_MINOR__);
#endif
#ifdef NDEBUG
  name += ", release";
#else
  name += ", with assertions";
#endif
#ifdef FLUXQ_SANITIZED
  name += ", sanitized";
#endif
  return name;
}

}  // namespace

std::string utc_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

Environment read_environment(const ModelFolder& model, const std::string& device, int threads,
                             const CancelToken& cancel) {
  return {.fluxq_version = std::string(version()),
          .binary_sha256 = sha256_file("/proc/self/exe", cancel),
          .build = build_name(),
          .model_name = model.name,
          .weights_sha256 = model_weights_sha256(model, threads, cancel),
          .variant = model.variant,
          .synthetic = model.synthetic,
          .device = device,
          .device_name = read_value("/proc/cpuinfo", "model name", ':'),
          .driver = "",
          .cuda = "",
          .kernel = kernel_release(),
          .os = read_value("/etc/os-release", "PRETTY_NAME", '='),
          .isa = instruction_set(),
          .threads = threads,
          .host_memory_bytes = host_memory_bytes(),
          .device_memory_bytes = {},
          .ceiling_flops = {},
          .ceiling_bytes = 0,
          .started = utc_now()};
}

}  // namespace fluxq
