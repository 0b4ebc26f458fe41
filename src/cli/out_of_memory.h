/// Memory that runs out where nothing may be thrown: the values of nlohmann's JSON (3.11) allocate
/// in their destructor.
#pragma once

#include <string_view>

namespace fluxq::cli {

inline constexpr std::string_view kOutOfMemory =
    "an allocation failed: host memory does not suffice";

/// From now on a bad_alloc that nothing can catch ends the program with the sentence and the exit
/// status of any other one, not with a signal.
void report_uncaught_bad_alloc();

}  // namespace fluxq::cli
