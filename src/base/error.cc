#include "base/error.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>

namespace fluxq {
namespace {

// Exit statuses 0, 1, 2, 130 and 143 have fixed meanings (done, failed, bad command line,
// interrupted, terminated).
constexpr std::array kErrors = {
    ErrorInfo{ErrorCode::bad_argument, "bad_argument", "an argument is not usable", 2},
    ErrorInfo{ErrorCode::not_found, "not_found", "a file or folder does not exist", 3},
    ErrorInfo{ErrorCode::corrupt_file, "corrupt_file", "a file breaks the rules of its format", 4},
    ErrorInfo{ErrorCode::unsupported, "unsupported", "this build or device cannot do that", 5},
    ErrorInfo{ErrorCode::out_of_memory_host, "out_of_memory_host", "host memory does not suffice",
              6},
    ErrorInfo{ErrorCode::out_of_memory_device, "out_of_memory_device",
              "device memory does not suffice", 7},
    ErrorInfo{ErrorCode::device_lost, "device_lost",
              "the device failed; this process cannot use it again", 8},
    ErrorInfo{ErrorCode::no_device, "no_device", "there is no usable device", 9},
    ErrorInfo{ErrorCode::driver_too_old, "driver_too_old", "the GPU driver is too old", 10},
    ErrorInfo{ErrorCode::disk_full, "disk_full", "the disk is full", 11},
    ErrorInfo{ErrorCode::io, "io", "reading or writing failed", 12},
    ErrorInfo{ErrorCode::network, "network", "the network or a server failed", 13},
    ErrorInfo{ErrorCode::cancelled, "cancelled", "the work was interrupted", 130},
    ErrorInfo{ErrorCode::numeric, "numeric", "a value is not a finite number", 14},
    ErrorInfo{ErrorCode::internal, "internal", "a defect in fluxq", 1},
};

// Levenshtein distance with one row of memory.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::span<const ErrorInfo> error_table() { return kErrors; }

const ErrorInfo& error_info(ErrorCode code) { return kErrors[static_cast<size_t>(code)]; }

void fail_errno(std::string_view what, int error_number) {
  ErrorCode code = ErrorCode::io;
  if (error_number == ENOENT) code = ErrorCode::not_found;
  if (error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG)
    code = ErrorCode::disk_full;
  if (error_number == ENOMEM) code = ErrorCode::out_of_memory_host;
  fail(code, "{}: {}", what, std::strerror(error_number));
}

std::vector<std::string> near_matches(std::string_view name,
                                      std::span<const std::string> candidates) {
  constexpr size_t kMost = 3;
  std::vector<std::pair<size_t, std::string>> scored;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(name.substr(0, 256), candidate);
    const bool contained = name.size() >= 3 && candidate.find(name) != std::string::npos;
    if (contained || distance <= std::max<size_t>(2, name.size() / 3))
      scored.emplace_back(distance, candidate);
  }
  std::sort(scored.begin(), scored.end());
  std::vector<std::string> best;
  for (size_t i = 0; i < std::min(kMost, scored.size()); ++i) best.push_back(scored[i].second);
  return best;
}

std::string did_you_mean(std::string_view name, std::span<const std::string> candidates) {
  const std::vector<std::string> best = near_matches(name, candidates);
  if (best.empty()) return "";
  return fmt::format(" Did you mean \"{}\"?", fmt::join(best, "\" or \""));
}

}  // namespace fluxq
