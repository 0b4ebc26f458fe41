#include "cli/out_of_memory.h"

#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>

#include "base/error.h"

namespace fluxq::cli {
namespace {

using std::string_view_literals::operator""sv;

std::terminate_handler otherwise = std::abort;

/// Writes without an allocation.
void say(std::string_view text) {
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;  // nobody listens
}

[[noreturn]] void on_terminate() {
  try {
    if (const std::exception_ptr error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    const ErrorInfo& info = error_info(ErrorCode::out_of_memory_host);
    for (const std::string_view part : {"fluxq: "sv, info.name, ": "sv, kOutOfMemory, "\n"sv})
      say(part);
    ::_exit(info.exit_status);
  } catch (...) {
    // Something else: the handler of before says what.
  }
  otherwise();
  std::abort();
}

}  // namespace

void report_uncaught_bad_alloc() {
  const std::terminate_handler before = std::set_terminate(on_terminate);
  if (before && before != on_terminate) otherwise = before;
}

}  // namespace fluxq::cli
