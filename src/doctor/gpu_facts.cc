#include "doctor/gpu_facts.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/dynamic_library.h"

namespace fluxq {
namespace {

/// "13.1.0" of 130100 with base 10000, "9.10.2" of 91002 likewise, as each library numbers itself.
std::string dotted(size_t number, size_t base) {
  return fmt::format("{}.{}.{}", number / base, number % base / 100, number % 100);
}

LibraryFacts look_for(const char* name, std::string (*version_of)(const DynamicLibrary&)) {
  const DynamicLibrary library(name);
  LibraryFacts facts{.name = name, .version = {}, .path = {}, .trouble = {}};
  if (!library) {
    facts.trouble = library.trouble();
    return facts;
  }
  facts.path = library.path();
  facts.version = version_of(library);
  return facts;
}

std::string numbered(const DynamicLibrary& library, const char* function) {
  size_t (*version)() = nullptr;
  if (!library.find(function, version)) return "of unknown version";
  return dotted(version(), 10000);
}

std::string runtime_version(const DynamicLibrary& library) {
  int (*get)(int*) = nullptr;
  int version = 0;
  if (!library.find("cudaRuntimeGetVersion", get) || get(&version) != 0)
    return "of unknown version";
  return cuda_version_text(version);
}

}  // namespace

std::string built_architectures() { return FLUXQ_CUDA_ARCHITECTURES; }

DriverFacts read_driver() {
  DriverFacts facts;
  const auto nvml = Nvml::load();
  if (nvml) {
    facts.driver_version = nvml->driver_version();
    facts.machine_gpus = nvml->device_count();
  }
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) facts.visible_devices = visible;
  if (const auto cuda = CudaDriver::load()) {
    facts.found = true;
    facts.cuda_version = cuda->version();
    facts.trouble = cuda->trouble();
    for (const CudaDevice& device : cuda->devices())
      facts.gpus.push_back({device, nvml ? nvml->state(device.pci_bus_id, false) : std::nullopt});
  }
  facts.libraries.push_back(look_for("libcudart.so.13", runtime_version));
  facts.libraries.push_back(look_for("libcublasLt.so.13", [](const DynamicLibrary& library) {
    return numbered(library, "cublasLtGetVersion");
  }));
  facts.libraries.push_back(look_for("libcudnn.so.9", [](const DynamicLibrary& library) {
    return numbered(library, "cudnnGetVersion");
  }));
  return facts;
}

}  // namespace fluxq
