/// The run's side of a conversation with a worker: an order, and its answer or why there is none.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/child_process.h"
#include "bench/messages.h"

namespace fluxq {

/// How long a worker may be silent while it does nothing whose time is known.
inline constexpr double kSilenceSeconds = 120;

/// Why an order was not done.
struct WorkerFailure {
  std::string code;  ///< ErrorInfo::name, "crashed", or "watchdog"
  std::string sentence;
  bool is_lost = false;     ///< the process is gone or must go
  bool may_pass = false;    ///< another attempt is worth it
  bool in_loading = false;  ///< no unit of the scheme can be done
};

class WorkerProcess {
 public:
  /// `warn` hears the worker's warnings. Error(io) if it cannot be started.
  WorkerProcess(const std::vector<std::string>& command, std::function<void(std::string_view)> warn,
                const CancelToken& cancel);

  /// The answer, of the kind that is expected. `timeout_s`: between two signs of life. Throws
  /// WorkerFailure; Error(disk_full), Error(io) of the worker's own, which no other worker would
  /// escape; Error(cancelled).
  Answer ask(const Order& order, Answer::Kind expected, double timeout_s);

  /// Ends it: the failure that `what` it did makes ("the worker answered something else; it").
  WorkerFailure lost(std::string_view code, std::string_view what);

 private:
  std::function<void(std::string_view)> warn_;
  const CancelToken& cancel_;
  ChildProcess process_;
};

}  // namespace fluxq
