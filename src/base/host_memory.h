/// What memory this process may still take, and what it took.
#pragma once

#include <cstdint>

namespace fluxq {

/// Bytes that can be allocated before the system, the process's address-space limit or its control
/// group refuses: the least of MemAvailable (/proc/meminfo), RLIMIT_AS less what is mapped, and the
/// cgroup's limit less its use.
int64_t available_memory_bytes();

/// Resident bytes now (VmRSS), and the most since the process started or since reset_peak_memory()
/// (VmHWM).
int64_t resident_memory_bytes();
int64_t peak_memory_bytes();

/// Starts a new peak (/proc/self/clear_refs). False where the kernel does not allow it: the peak
/// then goes on.
bool reset_peak_memory();

}  // namespace fluxq
