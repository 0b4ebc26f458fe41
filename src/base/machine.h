/// The machine that this runs on, as it describes itself. What cannot be read is empty or zero.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fluxq {

std::string processor_name();    ///< "AMD EPYC 9654"
std::string operating_system();  ///< "Debian GNU/Linux 12 (bookworm)"
std::string kernel_release();    ///< "Linux 6.1.0"
int64_t total_memory_bytes();

/// Those of `names`, as /proc/cpuinfo writes them ("avx512_bf16"), that the processor has.
std::vector<std::string> processor_features(const std::vector<std::string>& names);

/// "GCC 12.2, release": the compiler and what kind of build this is.
std::string build_name();

}  // namespace fluxq
