#include "base/gpu_driver.h"

#include <fmt/format.h>

#include <array>

namespace fluxq {
namespace {

// From the CUDA driver API's documentation: CUresult and CUdevice are ints, 0 is success.
using Result = int;
constexpr int kAttributeMultiprocessors = 16, kAttributeMajor = 75, kAttributeMinor = 76;
constexpr int kMaxDevices = 256;

}  // namespace

std::unique_ptr<CudaDriver> CudaDriver::load(const std::string& name) {
  DynamicLibrary library(name);
  if (!library) return nullptr;
  return std::unique_ptr<CudaDriver>(new CudaDriver(std::move(library)));
}

CudaDriver::CudaDriver(DynamicLibrary library) : library_(std::move(library)) {
  Result (*init)(unsigned) = nullptr;
  Result (*driver_version)(int*) = nullptr;
  Result (*error_name)(Result, const char**) = nullptr;
  if (library_.find("cuDriverGetVersion", driver_version)) driver_version(&version_);
  const Result result = library_.find("cuInit", init) ? init(0) : -1;
  if (result == 0) {
    read_devices();
    return;
  }
  const char* name = nullptr;
  if (library_.find("cuGetErrorName", error_name)) error_name(result, &name);
  trouble_ = name ? name : fmt::format("error {}", result);
}

void CudaDriver::read_devices() {
  Result (*get_count)(int*) = nullptr;
  Result (*get)(int*, int) = nullptr;
  Result (*get_name)(char*, int, int) = nullptr;
  Result (*get_attribute)(int*, int, int) = nullptr;
  Result (*get_memory)(size_t*, int) = nullptr;
  Result (*get_bus_id)(char*, int, int) = nullptr;
  if (!library_.find("cuDeviceGetCount", get_count) || !library_.find("cuDeviceGet", get) ||
      !library_.find("cuDeviceGetName", get_name) ||
      !library_.find("cuDeviceGetAttribute", get_attribute) ||
      !library_.find("cuDeviceTotalMem_v2", get_memory) ||
      !library_.find("cuDeviceGetPCIBusId", get_bus_id)) {
    trouble_ = "the driver lacks functions that every driver has";
    return;
  }
  int count = 0;
  get_count(&count);
  for (int i = 0; i < count && i < kMaxDevices; ++i) {
    int handle = 0;
    if (get(&handle, i) != 0) continue;
    std::array<char, 256> text = {};
    CudaDevice device;
    if (get_name(text.data(), text.size() - 1, handle) == 0) device.name = text.data();
    if (get_bus_id(text.data(), text.size() - 1, handle) == 0) device.pci_bus_id = text.data();
    get_attribute(&device.major, kAttributeMajor, handle);
    get_attribute(&device.minor, kAttributeMinor, handle);
    get_attribute(&device.multiprocessors, kAttributeMultiprocessors, handle);
    size_t bytes = 0;
    get_memory(&bytes, handle);
    device.memory_bytes = static_cast<int64_t>(bytes);
    devices_.push_back(std::move(device));
  }
}

bool CudaDriver::in_use_here(int index) const {
  Result (*get)(int*, int) = nullptr;
  Result (*get_state)(int, unsigned*, int*) = nullptr;
  if (!library_.find("cuDeviceGet", get) || !library_.find("cuDevicePrimaryCtxGetState", get_state))
    return false;
  int handle = 0, active = 0;
  unsigned flags = 0;
  return get(&handle, index) == 0 && get_state(handle, &flags, &active) == 0 && active != 0;
}

std::string cuda_version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace fluxq
