#include "bench/device_state.h"

#include <fmt/format.h>

#include <fstream>
#include <memory>

#include "base/gpu_driver.h"
#include "base/nvml.h"

namespace fluxq {
namespace {

/// A clock that fell by more than this share during a cell is worth a note.
constexpr double kClockTolerance = 0.05;
/// More work than this beyond the cell's own threads disturbs it.
constexpr double kOtherLoad = 1;

std::optional<double> mean_clock_mhz() {
  std::ifstream in("/proc/cpuinfo");
  double sum = 0;
  int cores = 0;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("cpu MHz")) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    sum += std::strtod(line.c_str() + colon + 1, nullptr);
    ++cores;
  }
  if (cores == 0 || sum <= 0) return std::nullopt;
  return sum / cores;
}

std::optional<double> load_average() {
  std::ifstream in("/proc/loadavg");
  double load = 0;
  return in >> load ? std::optional(load) : std::nullopt;
}

/// The first GPU, which Device::cuda is. Its libraries stay loaded: states are read often.
void read_gpu(DeviceState& state) {
  static const std::unique_ptr<CudaDriver> cuda = CudaDriver::load();
  static const std::unique_ptr<Nvml> nvml = Nvml::load();
  if (!cuda || !nvml || cuda->devices().empty()) return;
  const auto gpu = nvml->state(cuda->devices()[0].pci_bus_id, cuda->in_use_here(0));
  if (!gpu) return;
  state.clock_mhz = gpu->clock_mhz;
  state.memory_clock_mhz = gpu->memory_clock_mhz;
  state.temperature_c = gpu->temperature_c;
  state.power_w = gpu->power_w;
  state.other_processes = gpu->other_processes;
}

}  // namespace

DeviceState read_device_state(Device device) {
  DeviceState state;
  if (device == Device::cpu) state.clock_mhz = mean_clock_mhz();
  if (device == Device::cuda) read_gpu(state);
  state.load_average = load_average();
  return state;
}

std::vector<std::string> notes_on(const DeviceState& before, const DeviceState& after,
                                  int threads) {
  std::vector<std::string> notes;
  if (before.clock_mhz && after.clock_mhz &&
      *after.clock_mhz < *before.clock_mhz * (1 - kClockTolerance)) {
    notes.push_back(
        fmt::format("clocks fell from {:.0f} to {:.0f} MHz", *before.clock_mhz, *after.clock_mhz));
  }
  if (before.load_average && *before.load_average > threads + kOtherLoad) {
    notes.push_back(fmt::format("other work kept the machine busy: load average {:.1f} with {} {}",
                                *before.load_average, threads,
                                threads == 1 ? "thread" : "threads"));
  }
  if (before.other_processes.value_or(0) > 0)
    notes.push_back(fmt::format("{} other {} used the device", *before.other_processes,
                                *before.other_processes == 1 ? "process" : "processes"));
  return notes;
}

}  // namespace fluxq
