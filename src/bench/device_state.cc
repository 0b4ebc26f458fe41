#include "bench/device_state.h"

#include <fmt/format.h>

#include <fstream>

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

}  // namespace

DeviceState read_device_state(Device device) {
  DeviceState state;
  if (device == Device::cpu) state.clock_mhz = mean_clock_mhz();
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
    notes.push_back(fmt::format("{} other processes used the device", *before.other_processes));
  return notes;
}

}  // namespace fluxq
