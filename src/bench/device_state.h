/// What the device was doing around a cell, so that a figure taken on a busy or throttled machine
/// shows as one.
#pragma once

#include <string>
#include <vector>

#include "bench/results.h"
#include "tensor/tensor.h"

namespace fluxq {

/// The CPU: its cores' mean clock and the load average, as far as /proc tells. A GPU's clocks,
/// temperature, power and processes come from NVML, where that is loaded. What cannot be read is
/// absent; never fails.
DeviceState read_device_state(Device device);

/// What a reader should know of a cell measured between these: falling clocks, other work on the
/// device. `threads`: those of the cell itself.
std::vector<std::string> notes_on(const DeviceState& before, const DeviceState& after, int threads);

}  // namespace fluxq
