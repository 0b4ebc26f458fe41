/// Throwing fluxq::Error with a formatted sentence.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "fluxq/error.h"

namespace fluxq {

/// throw Error(code, fmt::format(...)). Write it as `fail(ErrorCode::corrupt_file, "…: expected {},
/// got {}", a, b);`
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

/// Fails with the meaning of errno after a failed system call: "cannot open /x: No such file or
/// directory". ENOENT gives not_found, ENOSPC and EDQUOT disk_full, ENOMEM out_of_memory_host, all
/// else io.
[[noreturn]] void fail_errno(std::string_view what, int error_number);

/// The candidates nearest to `name` by edit distance, best first, at most three and only plausible
/// ones.
std::vector<std::string> near_matches(std::string_view name,
                                      std::span<const std::string> candidates);

/// ` Did you mean "a" or "b"?`, or nothing when no candidate is near.
std::string did_you_mean(std::string_view name, std::span<const std::string> candidates);

}  // namespace fluxq
