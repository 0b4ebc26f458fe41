/// What the device was doing around a cell, so that a figure taken on a busy or throttled machine
/// shows as one.
#pragma once

#include <string>
#include <vector>

#include "bench/results.h"
#include "tensor/tensor.h"

namespace fluxq {

/// The CPU: its cores' mean clock, as far as /proc tells. The first GPU: clocks, temperature, power
/// and other processes, as far as NVML tells. Both: the load average. What cannot be read is
/// absent; never fails.
DeviceState read_device_state(Device device);

/// What a reader should know of a cell measured between these: falling clocks, other work on the
/// device. `threads`: those of the cell itself.
std::vector<std::string> notes_on(const DeviceState& before, const DeviceState& after, int threads);

}  // namespace fluxq
