#include "base/nvml.h"

#include <unistd.h>

#include <algorithm>
#include <array>

namespace fluxq {
namespace {

// From NVML's documentation: nvmlReturn_t is an int, 0 is success; a device is an opaque pointer.
using Result = int;
using DeviceHandle = void*;
constexpr Result kInsufficientSize = 7;
constexpr int kClockSm = 1, kClockMemory = 2;
constexpr int kTemperatureGpu = 0;
constexpr int kEccUncorrected = 1, kEccVolatile = 0;

struct Memory {  // nvmlMemory_t
  unsigned long long total, free, used;
};

struct ProcessInfo {  // nvmlProcessInfo_t of nvmlDeviceGetComputeRunningProcesses_v3
  unsigned pid;
  unsigned long long used_memory;
  unsigned gpu_instance, compute_instance;
};

struct Slowdown {  // nvmlClocksEventReason*
  unsigned long long bit;
  const char* name;
};
constexpr std::array kSlowdowns = {
    Slowdown{0x04, "power limit"},     Slowdown{0x08, "hardware slowdown"}, Slowdown{0x20, "heat"},
    Slowdown{0x40, "heat (hardware)"}, Slowdown{0x80, "power brake"},
};

/// Calls a function of the library whose last argument is where the answer goes; nothing if there
/// is no such function or it fails.
template <typename Answer, typename... Args>
std::optional<Answer> ask(const DynamicLibrary& library, const char* name, Args... args) {
  Result (*function)(Args..., Answer*) = nullptr;
  Answer answer = {};
  if (!library.find(name, function) || function(args..., &answer) != 0) return std::nullopt;
  return answer;
}

template <typename To, typename From>
std::optional<To> converted(std::optional<From> value, To unit = 1) {
  if (!value) return std::nullopt;
  return static_cast<To>(*value) / unit;
}

std::optional<int> count_others(const DynamicLibrary& library, DeviceHandle device,
                                bool in_use_here) {
  Result (*list)(DeviceHandle, unsigned*, ProcessInfo*) = nullptr;
  if (!library.find("nvmlDeviceGetComputeRunningProcesses_v3", list)) return std::nullopt;
  std::vector<ProcessInfo> processes(64);
  unsigned count = static_cast<unsigned>(processes.size());
  Result result = list(device, &count, processes.data());
  if (result == kInsufficientSize) return static_cast<int>(count) - (in_use_here ? 1 : 0);
  if (result != 0) return std::nullopt;
  processes.resize(std::min<size_t>(count, processes.size()));
  const auto own = static_cast<unsigned>(::getpid());
  const bool listed = std::any_of(processes.begin(), processes.end(),
                                  [&](const ProcessInfo& process) { return process.pid == own; });
  // A container hides the ids that NVML lists: one of them is this process.
  const bool counted = listed || (in_use_here && !processes.empty());
  return static_cast<int>(processes.size()) - (counted ? 1 : 0);
}

std::vector<std::string> read_slowdowns(const DynamicLibrary& library, DeviceHandle device) {
  auto reasons = ask<unsigned long long>(library, "nvmlDeviceGetCurrentClocksEventReasons", device);
  if (!reasons)  // its name before driver 535
    reasons = ask<unsigned long long>(library, "nvmlDeviceGetCurrentClocksThrottleReasons", device);
  std::vector<std::string> names;
  for (const Slowdown& slowdown : kSlowdowns)
    if (reasons.value_or(0) & slowdown.bit) names.emplace_back(slowdown.name);
  return names;
}

std::optional<bool> read_partitioned(const DynamicLibrary& library, DeviceHandle device) {
  Result (*get)(DeviceHandle, unsigned*, unsigned*) = nullptr;
  unsigned current = 0, pending = 0;
  if (!library.find("nvmlDeviceGetMigMode", get) || get(device, &current, &pending) != 0)
    return std::nullopt;
  return current != 0;
}

}  // namespace

std::unique_ptr<Nvml> Nvml::load(const std::string& name) {
  DynamicLibrary library(name);
  Result (*init)() = nullptr;
  if (!library || !library.find("nvmlInit_v2", init) || init() != 0) return nullptr;
  return std::unique_ptr<Nvml>(new Nvml(std::move(library)));
}

Nvml::~Nvml() {
  Result (*shutdown)() = nullptr;
  if (library_.find("nvmlShutdown", shutdown)) shutdown();
}

std::string Nvml::driver_version() const {
  Result (*get)(char*, unsigned) = nullptr;
  std::array<char, 96> text = {};
  if (!library_.find("nvmlSystemGetDriverVersion", get) || get(text.data(), text.size() - 1) != 0)
    return "";
  return text.data();
}

int Nvml::device_count() const {
  return static_cast<int>(ask<unsigned>(library_, "nvmlDeviceGetCount_v2").value_or(0));
}

std::optional<GpuState> Nvml::state(const std::string& pci_bus_id, bool in_use_here) const {
  const auto device =
      ask<DeviceHandle>(library_, "nvmlDeviceGetHandleByPciBusId_v2", pci_bus_id.c_str());
  if (!device) return std::nullopt;
  const auto number = [&](const char* name, auto... kind) {
    return ask<unsigned>(library_, name, *device, kind...);
  };
  GpuState state;
  state.clock_mhz = converted<int>(number("nvmlDeviceGetClockInfo", kClockSm));
  state.max_clock_mhz = converted<int>(number("nvmlDeviceGetMaxClockInfo", kClockSm));
  state.memory_clock_mhz = converted<int>(number("nvmlDeviceGetClockInfo", kClockMemory));
  state.temperature_c = converted<double>(number("nvmlDeviceGetTemperature", kTemperatureGpu));
  state.power_w = converted<double>(number("nvmlDeviceGetPowerUsage"), 1000.0);
  state.power_limit_w = converted<double>(number("nvmlDeviceGetEnforcedPowerLimit"), 1000.0);
  if (const auto memory = ask<Memory>(library_, "nvmlDeviceGetMemoryInfo", *device)) {
    state.free_bytes = static_cast<int64_t>(memory->free);
    state.total_bytes = static_cast<int64_t>(memory->total);
  }
  state.other_processes = count_others(library_, *device, in_use_here);
  state.ecc_errors = converted<int64_t>(ask<unsigned long long>(
      library_, "nvmlDeviceGetTotalEccErrors", *device, kEccUncorrected, kEccVolatile));
  state.is_partitioned = read_partitioned(library_, *device);
  state.slowdowns = read_slowdowns(library_, *device);
  return state;
}

}  // namespace fluxq
