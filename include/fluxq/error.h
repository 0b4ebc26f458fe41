/// The one error type of fluxq. The library never prints, aborts or exits: it throws Error, whose
/// text is a full sentence of the form "what, where: expected X, got Y". Only the command line
/// turns it into an exit status.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace fluxq {

enum class ErrorCode {
  bad_argument,
  not_found,
  corrupt_file,
  unsupported,
  out_of_memory_host,
  out_of_memory_device,
  device_lost,
  no_device,
  driver_too_old,
  disk_full,
  io,
  network,
  cancelled,
  numeric,
  internal,
};

/// What a code means to a user.
struct ErrorInfo {
  ErrorCode code;
  std::string_view name;      ///< as written in logs and JSON: "corrupt_file"
  std::string_view sentence;  ///< what went wrong in general
  int exit_status;            ///< of the command line
};

/// The table of all codes, in the order of ErrorCode.
std::span<const ErrorInfo> error_table();

const ErrorInfo& error_info(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace fluxq
