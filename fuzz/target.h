/// What a fuzz target is: one reader of bytes from outside. The property that all are held to: for
/// any bytes the reader returns or throws Error, nothing else, in time and memory in proportion to
/// the input.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace fluxq::fuzz {

// Each target defines these two.

/// Gives the input to the reader and looks at what comes back. May throw Error.
void read(std::string_view input);

/// The input with lengths and checksums made right, so that mutations get past the first check.
/// Never fails; inputs that make no sense stay as they are.
std::string repaired(std::string input);

/// A folder in memory, for readers that take paths.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Writes the file of that name, or removes it if `bytes` is a null view.
  std::filesystem::path put(const char* name, std::string_view bytes) const;

 private:
  std::filesystem::path path_;
};

/// The parts of an input for readers of several files: what stands between lines "%%". Always
/// `count` of them; missing ones are null views.
std::vector<std::string_view> split(std::string_view input, size_t count);

/// Ends the program as a finding unless `holds`.
void expect(bool holds, const char* property);

}  // namespace fluxq::fuzz
