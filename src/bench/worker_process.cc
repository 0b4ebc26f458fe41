#include "bench/worker_process.h"

#include "base/error.h"
#include "base/text.h"

namespace fluxq {

WorkerProcess::WorkerProcess(const std::vector<std::string>& command,
                             std::function<void(std::string_view)> warn, const CancelToken& cancel)
    : warn_(std::move(warn)), cancel_(cancel), process_(command) {}

WorkerFailure WorkerProcess::lost(std::string_view code, std::string_view what) {
  return {.code = std::string(code),
          .sentence = fmt::format("{} {}", what, process_.end()),
          .is_lost = true,
          .may_pass = true};
}

Answer WorkerProcess::ask(const Order& order, Answer::Kind expected, double timeout_s) {
  process_.send(to_line(order));
  while (true) {
    std::string line;
    switch (process_.read_line(line, timeout_s, cancel_)) {
      case ChildProcess::Heard::line:
        break;
      case ChildProcess::Heard::end:
        throw lost("crashed", "the worker");
      case ChildProcess::Heard::too_long:
        throw lost("crashed", "the worker's answer does not end; it");
      case ChildProcess::Heard::silence:
        throw lost("watchdog", fmt::format("the worker said nothing for {:.0f} s and", timeout_s));
    }
    Answer answer;
    try {
      answer = answer_from(line);
    } catch (const Error&) {
      throw lost("crashed", fmt::format("the worker answered {}; it", in_quotes(line)));
    }
    if (answer.kind == expected) return answer;
    switch (answer.kind) {
      case Answer::Kind::beat:
        break;
      case Answer::Kind::warning:
        warn_(answer.text);
        break;
      case Answer::Kind::failed: {
        const auto is = [&](ErrorCode code) { return answer.code == error_info(code).name; };
        // Nothing more can be written: the run ends here.
        if (is(ErrorCode::disk_full)) fail(ErrorCode::disk_full, "{}", answer.text);
        if (is(ErrorCode::io)) fail(ErrorCode::io, "{}", answer.text);
        throw WorkerFailure{.code = answer.code,
                            .sentence = answer.text,
                            .is_lost = is(ErrorCode::device_lost) || is(ErrorCode::internal),
                            .may_pass = is(ErrorCode::device_lost) || is(ErrorCode::internal)};
      }
      default:
        throw lost("crashed", "the worker answered something else; it");
    }
  }
}

}  // namespace fluxq
