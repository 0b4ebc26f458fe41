#include "base/machine.h"

#include <fmt/format.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

namespace fluxq {
namespace {

/// The value of the first line "name<spaces>separator value", without quotes; empty if there is
/// none.
std::string read_value(const char* file, std::string_view name, char separator) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t mark = line.find(separator);
    if (mark == std::string::npos || !line.starts_with(name)) continue;
    std::string value = line.substr(mark + 1);
    std::erase(value, '"');
    value.erase(0, value.find_first_not_of(' '));
    return value;
  }
  return "";
}

}  // namespace

std::string processor_name() { return read_value("/proc/cpuinfo", "model name", ':'); }

std::string operating_system() { return read_value("/etc/os-release", "PRETTY_NAME", '='); }

std::string kernel_release() {
  utsname name = {};
  if (::uname(&name) != 0) return "";
  return fmt::format("{} {}", name.sysname, name.release);
}

int64_t total_memory_bytes() {
  struct sysinfo info = {};
  return ::sysinfo(&info) == 0 ? static_cast<int64_t>(info.totalram) * info.mem_unit : 0;
}

std::vector<std::string> processor_features(const std::vector<std::string>& names) {
  std::istringstream words(read_value("/proc/cpuinfo", "flags", ':'));
  std::set<std::string> known;
  for (std::string word; words >> word;) known.insert(word);
  std::vector<std::string> found;
  std::copy_if(names.begin(), names.end(), std::back_inserter(found),
               [&](const std::string& name) { return known.contains(name); });
  return found;
}

std::string build_name() {
#ifdef __clang__
  std::string name = fmt::format("Clang {}.{}", __clang_major__, __clang_minor__);
#else
  std::string name = fmt::format("GCC {}.{}", __GNUC__, __GNUC_MINOR__);
#endif
#ifdef NDEBUG
  name += ", release";
#else
  name += ", with assertions";
#endif
#ifdef FLUXQ_SANITIZED
  name += ", sanitized";
#endif
  return name;
}

}  // namespace fluxq
