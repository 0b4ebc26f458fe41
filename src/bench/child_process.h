/// A worker as a process: lines in, lines out, and an end that is always described.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "fluxq/cancel.h"

namespace fluxq {

/// The child is the head of its own process group (Ctrl-C reaches the parent only), and dies with
/// the thread that started it. Its standard error is kept, for its last words. The program must
/// ignore SIGPIPE (the command line does).
class ChildProcess {
 public:
  /// Error(io) if it cannot be started; a program that cannot be executed ends with status 127.
  explicit ChildProcess(const std::vector<std::string>& command);
  ~ChildProcess();  ///< kills it
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// A child that has gone is noticed when its answer is read.
  void send(const std::string& lines);

  enum class Heard { line, silence, end, too_long };
  /// The next line, without its end. `silence` after `timeout_s`; Error(cancelled) within 0.1 s of
  /// a request.
  Heard read_line(std::string& line, double timeout_s, const CancelToken& cancel);

  /// Kills it if it still runs, and says how it ended and its last words: "was ended by signal 11
  /// (Segmentation fault)", "ended with status 3; it said: …".
  std::string end();

 private:
  std::string last_words() const;

  pid_t pid_ = -1;
  FileDescriptor to_, from_, errors_;
  std::string buffer_;
};

}  // namespace fluxq
