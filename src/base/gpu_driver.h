/// What the CUDA driver says about itself and its devices. It is loaded at run time (libcuda.so.1),
/// with the few functions of its stable C interface that are needed declared here, so that every
/// build runs on machines without a GPU and says what they have.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/dynamic_library.h"

namespace fluxq {

/// A device that this process may use: CUDA_VISIBLE_DEVICES counts.
struct CudaDevice {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
  std::string pci_bus_id;  ///< "0000:3b:00.0": how NVML knows it
};

class CudaDriver {
 public:
  /// Nothing where there is no driver.
  static std::unique_ptr<CudaDriver> load(const std::string& library = "libcuda.so.1");

  /// The newest CUDA that it supports: 12020 for 12.2; 0 if it does not say.
  int version() const { return version_; }
  /// Why devices cannot be used (cuInit's name for it: "CUDA_ERROR_NO_DEVICE"); empty if they can.
  const std::string& trouble() const { return trouble_; }
  const std::vector<CudaDevice>& devices() const { return devices_; }
  /// Has this process a context on device `index`?
  bool in_use_here(int index) const;

 private:
  explicit CudaDriver(DynamicLibrary library);
  void read_devices();

  DynamicLibrary library_;
  int version_ = 0;
  std::string trouble_;
  std::vector<CudaDevice> devices_;
};

/// 12020 -> "12.2".
std::string cuda_version_text(int version);

}  // namespace fluxq
