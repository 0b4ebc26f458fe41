/// What NVIDIA's management library says about a GPU's state. It comes with the driver and is
/// loaded at run time (libnvidia-ml.so.1); the functions that are needed are declared here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/dynamic_library.h"

namespace fluxq {

/// A GPU now. What cannot be read is absent.
struct GpuState {
  std::optional<int> clock_mhz, max_clock_mhz;  ///< of the multiprocessors
  std::optional<int> memory_clock_mhz;
  std::optional<double> temperature_c, power_w, power_limit_w;
  std::optional<int64_t> free_bytes, total_bytes;
  std::optional<int> other_processes;  ///< that compute on it, besides this one
  std::optional<int64_t> ecc_errors;   ///< uncorrected, since the driver was loaded
  std::optional<bool> is_partitioned;  ///< MIG is on
  std::vector<std::string> slowdowns;  ///< why clocks are held down now: "heat", "power brake"
};

class Nvml {
 public:
  /// Nothing where there is no such library, or it does not start.
  static std::unique_ptr<Nvml> load(const std::string& library = "libnvidia-ml.so.1");
  ~Nvml();

  /// "580.65.06", or empty.
  std::string driver_version() const;
  /// How many GPUs the machine has, whether CUDA may use them or not.
  int device_count() const;
  /// Of the GPU at `pci_bus_id` (CudaDevice::pci_bus_id). `in_use_here`: this process is among its
  /// users, even if it cannot be told by its id, as in a container. Nothing if NVML does not know
  /// that GPU.
  std::optional<GpuState> state(const std::string& pci_bus_id, bool in_use_here) const;

 private:
  explicit Nvml(DynamicLibrary library) : library_(std::move(library)) {}

  DynamicLibrary library_;
};

}  // namespace fluxq
