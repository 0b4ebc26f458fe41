#include "base/host_memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace fluxq {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

/// The number after "NAME:" in a /proc file whose values are in kB, or `fallback`.
int64_t read_kilobytes(const char* file, const std::string& name, int64_t fallback) {
  std::ifstream in(file);
  for (std::string word; in >> word;) {
    int64_t kilobytes = 0;
    if (word == name + ":" && in >> kilobytes) return kilobytes * 1024;
  }
  return fallback;
}

/// A file that holds one number ("max" and a missing file: unlimited).
int64_t read_number(const std::string& file) {
  std::ifstream in(file);
  int64_t value = 0;
  return in >> value ? value : kUnlimited;
}

int64_t address_space_left() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  const int64_t mapped = read_kilobytes("/proc/self/status", "VmSize", 0);
  return static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, kUnlimited)) - mapped;
}

int64_t control_group_left() {
  const int64_t limit = read_number("/sys/fs/cgroup/memory.max");
  return limit == kUnlimited ? kUnlimited : limit - read_number("/sys/fs/cgroup/memory.current");
}

}  // namespace

int64_t available_memory_bytes() {
  const int64_t machine = read_kilobytes("/proc/meminfo", "MemAvailable", kUnlimited);
  return std::max<int64_t>(0, std::min({machine, address_space_left(), control_group_left()}));
}

int64_t resident_memory_bytes() { return read_kilobytes("/proc/self/status", "VmRSS", 0); }

int64_t peak_memory_bytes() { return read_kilobytes("/proc/self/status", "VmHWM", 0); }

bool reset_peak_memory() {
  std::ofstream out("/proc/self/clear_refs");
  out << "5" << std::flush;
  return out.good();
}

}  // namespace fluxq
