#include "bench/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <new>

#include "base/text.h"
#include "bench/messages.h"

namespace fluxq {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPollMilliseconds = 100;
constexpr std::chrono::milliseconds kGrace{500};  // between the end of its output and its end
constexpr size_t kLastWordsBytes = 400;

/// In the child, between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(char* const* argv, int in, int out, int errors, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  ::execv(argv[0], argv);
  ::_exit(127);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command) {
  std::array<int, 2> to, from;
  if (::pipe2(to.data(), O_CLOEXEC) != 0) fail_errno("cannot make a pipe to a worker", errno);
  const FileDescriptor in(to[0]);
  to_ = FileDescriptor(to[1]);
  if (::pipe2(from.data(), O_CLOEXEC) != 0) fail_errno("cannot make a pipe to a worker", errno);
  from_ = FileDescriptor(from[0]);
  const FileDescriptor out(from[1]);
  errors_ = FileDescriptor(::memfd_create("fluxq-worker-errors", MFD_CLOEXEC));
  if (!errors_.valid()) fail_errno("cannot make a buffer for a worker's errors", errno);

  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) fail_errno("cannot start a worker", errno);
  if (pid_ == 0) become(argv.data(), in.get(), out.get(), errors_.get(), parent);
  ::setpgid(pid_, pid_);  // whoever comes first
}

ChildProcess::~ChildProcess() {
  try {
    end();
  } catch (const std::bad_alloc&) {
    // It has ended; there was no memory for its last words.
  }
}

void ChildProcess::send(const std::string& lines) {
  for (size_t sent = 0; sent < lines.size();) {
    const ssize_t count = ::write(to_.get(), lines.data() + sent, lines.size() - sent);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    sent += static_cast<size_t>(count);
  }
}

ChildProcess::Heard ChildProcess::read_line(std::string& line, double timeout_s,
                                            const CancelToken& cancel) {
  const auto begun = Clock::now();
  size_t searched = 0;
  while (true) {
    const size_t newline = buffer_.find('\n', searched);
    if (newline != std::string::npos) {
      line = buffer_.substr(0, newline);
      buffer_.erase(0, newline + 1);
      return Heard::line;
    }
    searched = buffer_.size();
    if (buffer_.size() > kMaxMessageBytes) return Heard::too_long;
    cancel.check();
    if (std::chrono::duration<double>(Clock::now() - begun).count() > timeout_s)
      return Heard::silence;
    pollfd ready = {from_.get(), POLLIN, 0};
    if (::poll(&ready, 1, kPollMilliseconds) <= 0) continue;
    std::array<char, 1 << 16> bytes;
    const ssize_t count = ::read(from_.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Heard::end;
    buffer_.append(bytes.data(), static_cast<size_t>(count));
  }
}

std::string ChildProcess::last_words() const {
  std::array<char, kLastWordsBytes> bytes;
  const off_t size = ::lseek(errors_.get(), 0, SEEK_END);
  const off_t from = std::max<off_t>(0, size - static_cast<off_t>(bytes.size()));
  const ssize_t count = ::pread(errors_.get(), bytes.data(), bytes.size(), from);
  if (count <= 0) return "";
  std::string_view words(bytes.data(), static_cast<size_t>(count));
  while (!words.empty() && std::isspace(static_cast<unsigned char>(words.back())))
    words.remove_suffix(1);
  return words.empty() ? "" : "; it said: " + in_quotes(words, kLastWordsBytes);
}

std::string ChildProcess::end() {
  if (pid_ < 0) return "";
  to_ = FileDescriptor();  // no more orders: a healthy worker leaves
  from_ = FileDescriptor();
  int status = 0;
  pid_t gone = 0;
  for (const auto begun = Clock::now(); gone == 0 && Clock::now() - begun < kGrace;) {
    gone = ::waitpid(pid_, &status, WNOHANG);
    if (gone == 0) ::usleep(2000);
  }
  const bool killed = gone == 0;
  ::kill(-pid_, SIGKILL);  // and whatever it started
  if (killed)
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  pid_ = -1;
  if (killed) return "was killed" + last_words();
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    return fmt::format("was ended by signal {} ({}){}{}", signal, ::strsignal(signal),
                       signal == SIGKILL ? ", as the system does when memory runs out" : "",
                       last_words());
  }
  return fmt::format("ended with status {}{}", WEXITSTATUS(status), last_words());
}

}  // namespace fluxq
