/// Runs the fluxq program as a user would and keeps what it said. For the tests of the command
/// line.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace fluxq::testing {

struct Outcome {
  int status = 0;  ///< exit status; 1000 + signal if a signal ended it
  std::string out, err;
  std::chrono::milliseconds stopping{0};  ///< from the interrupt to the end
};

struct RunOptions {
  std::filesystem::path folder = {};          ///< working folder; empty: this one
  std::vector<std::string> environment = {};  ///< NAME=value, added
  std::optional<std::string> input = {};      ///< on standard input; nothing: the test's own
  /// Sends `signal` then, counted from when the program catches it (a kill: from its start).
  std::optional<std::chrono::milliseconds> interrupt_after = {};
  int signal = 2;                                      ///< SIGINT
  std::optional<uint64_t> file_size_limit_bytes = {};  ///< RLIMIT_FSIZE: a disk that is full
  std::optional<uint64_t> address_space_bytes = {};    ///< RLIMIT_AS
};

/// Runs `fluxq arguments...` to its end (at most two minutes, then it is killed).
Outcome run_fluxq(const std::vector<std::string>& arguments, const RunOptions& options = {});

/// A folder that exists as long as this does.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// The bytes of a file.
std::string read_bytes(const std::filesystem::path& file);

}  // namespace fluxq::testing
