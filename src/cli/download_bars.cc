#include "cli/download_bars.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/progress_bar.h"

namespace fluxq::cli {
namespace {

constexpr int kFileBarColumns = 16;
constexpr int kWholeBarColumns = 30;
constexpr std::chrono::milliseconds kRedrawInterval{100};

size_t terminal_columns() {
  winsize size = {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

double share_of(uint64_t done, uint64_t bytes) {
  return bytes == 0 ? 1 : static_cast<double>(std::min(done, bytes)) / static_cast<double>(bytes);
}

/// Names are paths: the end says more than the beginning.
std::string fitted(const std::string& name, size_t columns) {
  return name.size() <= columns ? name : "..." + name.substr(name.size() - columns + 3);
}

}  // namespace

std::string bar(double share, int columns) {
  const int filled = static_cast<int>(share * columns);
  return fmt::format("[{:#<{}}{:.<{}}] {:3.0f} %", "", filled, "", columns - filled, share * 100);
}

DownloadBars::DownloadBars(const Session& session)
    : session_(session), visible_(!session.quiet && is_terminal()) {}

DownloadBars::~DownloadBars() { erase(); }

void DownloadBars::erase() {
  if (lines_ > 0) fmt::print(stderr, "\033[{}A\033[J", lines_);
  lines_ = 0;
}

std::string DownloadBars::file_line(const FileProgress& file) const {
  const std::string name = fitted(file.name, 40);
  if (file.state == FileProgress::State::checking)
    return fmt::format("  {:<40} checking {}", name,
                       format_bytes(static_cast<int64_t>(file.bytes)));
  return fmt::format("  {:<40} {} of {}", name,
                     bar(share_of(file.done_bytes, file.bytes), kFileBarColumns),
                     format_bytes(static_cast<int64_t>(file.bytes)));
}

void DownloadBars::update(std::span<const FileProgress> files) {
  uint64_t bytes = 0, done_bytes = 0;
  bool all_done = true;
  for (const FileProgress& file : files) {
    bytes += file.bytes;
    done_bytes += file.done_bytes;
    all_done = all_done && file.state == FileProgress::State::done;
  }
  if (said_.empty()) {
    said_.assign(files.size(), false);
    first_bytes_ = done_bytes;
  }
  if (!all_done && Clock::now() - last_drawn_ < kRedrawInterval) return;
  last_drawn_ = Clock::now();
  erase();
  for (size_t i = 0; i < files.size(); ++i) {
    if (said_[i] || files[i].state != FileProgress::State::done) continue;
    said_[i] = true;
    note(session_, fmt::format("  {:<40} {}", files[i].name,
                               format_bytes(static_cast<int64_t>(files[i].bytes))));
  }
  if (visible_ && !all_done) draw(files, bytes, done_bytes);
}

void DownloadBars::draw(std::span<const FileProgress> files, uint64_t bytes, uint64_t done_bytes) {
  std::vector<std::string> lines;
  for (const FileProgress& file : files)
    if (file.state == FileProgress::State::loading || file.state == FileProgress::State::checking)
      lines.push_back(file_line(file));
  const double elapsed_s = std::chrono::duration<double>(Clock::now() - begun_).count();
  const double rate = static_cast<double>(done_bytes - std::min(first_bytes_, done_bytes)) /
                      std::max(elapsed_s, 1e-3);
  std::string whole =
      fmt::format("in all {} of {}", bar(share_of(done_bytes, bytes), kWholeBarColumns),
                  format_bytes(static_cast<int64_t>(bytes)));
  if (rate > 0)
    whole += fmt::format(
        ", {}/s, {} left", format_bytes(static_cast<int64_t>(rate)),
        format_duration(static_cast<double>(bytes - std::min(bytes, done_bytes)) / rate));
  lines.push_back(whole);
  // A line that wraps would be counted as one and never erased.
  for (std::string& line : lines)
    fmt::print(stderr, "{}\n", line.substr(0, terminal_columns() - 1));
  std::fflush(stderr);
  lines_ = lines.size();
}

}  // namespace fluxq::cli
