#include "program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace fluxq::testing {
namespace {

constexpr std::chrono::minutes kLongest{2};

using Clock = std::chrono::steady_clock;

[[noreturn]] void become_fluxq(const std::vector<std::string>& arguments, const RunOptions& options,
                               int out, int err) {
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  if (options.input) {
    const int in = memfd_create("input", 0);
    if (write(in, options.input->data(), options.input->size()) < 0 || lseek(in, 0, SEEK_SET) != 0)
      _exit(126);
    dup2(in, STDIN_FILENO);
  }
  if (!options.folder.empty() && chdir(options.folder.c_str()) != 0) _exit(126);
  for (const std::string& entry : options.environment) putenv(const_cast<char*>(entry.c_str()));
  const auto limit = [](auto resource, std::optional<uint64_t> bytes) {
    if (bytes) {
      const rlimit value = {*bytes, *bytes};
      setrlimit(resource, &value);
    }
  };
  limit(RLIMIT_FSIZE, options.file_size_limit_bytes);
  limit(RLIMIT_AS, options.address_space_bytes);
  std::vector<char*> argv = {const_cast<char*>("fluxq")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(FLUXQ_PROGRAM, argv.data());
  _exit(127);
}

/// Whether the process handles the signal, or cannot (SIGKILL).
bool catches(pid_t process, int signal) {
  if (signal == SIGKILL) return true;
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("SigCgt:"))
      return std::stoull(line.substr(7), nullptr, 16) >> (signal - 1) & 1;
  return false;
}

}  // namespace

Outcome run_fluxq(const std::vector<std::string>& arguments, const RunOptions& options) {
  std::array<int, 2> out, err;
  if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(err.data(), O_CLOEXEC) != 0)
    throw std::runtime_error("pipe");
  const auto begun = Clock::now();
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) become_fluxq(arguments, options, out[1], err[1]);
  close(out[1]);
  close(err[1]);

  Outcome outcome;
  std::optional<Clock::time_point> caught, interrupted;
  std::array<pollfd, 2> pipes = {{{out[0], POLLIN, 0}, {err[0], POLLIN, 0}}};
  while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
    poll(pipes.data(), pipes.size(), 10);
    for (size_t i = 0; i < pipes.size(); ++i) {
      if (pipes[i].fd < 0 || !(pipes[i].revents & (POLLIN | POLLHUP))) continue;
      std::array<char, 4096> buffer;
      const ssize_t got = read(pipes[i].fd, buffer.data(), buffer.size());
      if (got > 0)
        (i == 0 ? outcome.out : outcome.err).append(buffer.data(), static_cast<size_t>(got));
      if (got <= 0) pipes[i].fd = -1;
    }
    const auto elapsed = Clock::now() - begun;
    if (options.interrupt_after && !interrupted) {
      if (!caught && catches(child, options.signal)) caught = Clock::now();
      if (caught && Clock::now() - *caught >= *options.interrupt_after) {
        kill(child, options.signal);
        interrupted = Clock::now();
      }
    }
    if (elapsed > kLongest) kill(child, SIGKILL);
  }
  close(out[0]);
  close(err[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (interrupted)
    outcome.stopping =
        std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - *interrupted);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  return outcome;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "fluxq-test-XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string read_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + file.string());
  std::ostringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

}  // namespace fluxq::testing
