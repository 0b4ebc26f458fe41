#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "base/error.h"
#include "cli/commands.h"

namespace fluxq::cli {

void print(std::string_view text) {
  errno = 0;
  const size_t written = std::fwrite(text.data(), 1, text.size(), stdout);
  if (written != text.size() || std::fflush(stdout) != 0)
    fail_errno("cannot write to standard output", errno);
}

void print_json(const Json& value) { print(value.dump(2) + "\n"); }

void note(const Session& session, std::string_view line) {
  if (!session.quiet) fmt::print(stderr, "{}\n", line);
}

std::string format_bytes(int64_t bytes) {
  constexpr std::array kUnits = {"kB", "MB", "GB", "TB"};
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace fluxq::cli
