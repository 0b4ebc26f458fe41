/// What `fluxq doctor` knows of a machine, as plain data: read_facts() gathers it, checks.h judges
/// it. Tests make up machines that are not there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/gpu_driver.h"
#include "base/nvml.h"

namespace fluxq {

struct BuildFacts {
  std::string version, compiler;  ///< "0.1.0", "GCC 12.2, release"
  std::string architectures;      ///< "sm_90a"; empty: built without CUDA
  bool has_cuda() const { return !architectures.empty(); }
};

struct HostFacts {
  std::string system, kernel, processor;
  int cores = 0;
  std::vector<std::string> features;         ///< "avx2", "avx512_bf16"
  std::vector<std::string> kernels;          ///< "oneDNN bf16 (avx512_core_bf16)"
  int64_t memory_bytes = 0, free_bytes = 0;  ///< of the machine; that this process may take
};

struct GpuFacts {
  CudaDevice device;
  std::optional<GpuState> state;  ///< nothing without NVML
};

/// A CUDA library that the CUDA build uses.
struct LibraryFacts {
  std::string name;     ///< "libcublasLt.so.13"
  std::string version;  ///< "13.1.0"; empty: not found
  std::string path;
  std::string trouble;  ///< what the loader said
};

struct DriverFacts {
  bool found = false;           ///< libcuda.so.1
  int cuda_version = 0;         ///< 13000 for 13.0
  std::string driver_version;   ///< "580.65.06", empty without NVML
  std::string trouble;          ///< of cuInit: "CUDA_ERROR_NO_DEVICE"
  int machine_gpus = 0;         ///< that NVML sees
  std::string visible_devices;  ///< CUDA_VISIBLE_DEVICES, if it is set
  std::vector<GpuFacts> gpus;   ///< that CUDA may use
  std::vector<LibraryFacts> libraries;
};

struct DiskFacts {
  std::string path;
  std::optional<uint64_t> free_bytes;
};

/// What one scheme takes for one picture of the model at its default size.
struct SchemeNeed {
  struct Memory {
    int64_t bytes = 0;
    int64_t low_bytes = 0;  ///< with --low-memory
  };
  std::string scheme;
  Memory cpu, gpu;
  bool host_only = false;  ///< f32, the reference
  const Memory& on(bool is_gpu) const { return is_gpu ? gpu : cpu; }
};

/// The model that the machine is meant for.
struct ModelFacts {
  std::string name;
  std::string path;               ///< empty: not on this machine
  std::string trouble;            ///< why what is there cannot be used
  uint64_t download_bytes = 0;    ///< of all its weights in bf16
  std::vector<SchemeNeed> needs;  ///< in the order of `fluxq schemes`
  bool is_here() const { return !path.empty() && trouble.empty(); }
};

struct HubFacts {
  std::string cache;          ///< the folder
  std::string cache_trouble;  ///< why it cannot be read
  int models = 0;
  uint64_t bytes = 0, unfinished_bytes = 0;
  bool offline = false;       ///< HF_HUB_OFFLINE: it is not asked
  std::string token_origin;   ///< "HF_TOKEN" or the token file; empty: none
  std::string token_trouble;  ///< why it cannot be used
  // Only with --online:
  bool asked = false;
  std::string account;         ///< whose token it is; empty: not known
  std::string access_trouble;  ///< why the model cannot be read; empty: it can
};

struct MachineFacts {
  BuildFacts build;
  HostFacts host;
  DriverFacts driver;
  DiskFacts models_disk, work_disk;  ///< where the cache is, and the working folder
  ModelFacts model;
  HubFacts hub;
};

}  // namespace fluxq
