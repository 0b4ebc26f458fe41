#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace fluxq::cli {
namespace {

constexpr int kBarColumns = 30;
constexpr std::chrono::milliseconds kRedrawInterval{80};

}  // namespace

bool is_terminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && !(term && std::string_view(term) == "dumb");
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

ProgressBar::ProgressBar(const Session& session) : visible_(!session.quiet && is_terminal()) {}

ProgressBar::~ProgressBar() { erase(); }

void ProgressBar::begin(std::string_view phase, int64_t total) {
  phase_ = phase;
  total_ = total;
  begun_ = std::chrono::steady_clock::now();
  draw(0);
}

void ProgressBar::update(int64_t done) {
  if (std::chrono::steady_clock::now() - last_drawn_ >= kRedrawInterval || done == total_)
    draw(done);
}

void ProgressBar::draw(int64_t done) {
  if (!visible_) return;
  last_drawn_ = std::chrono::steady_clock::now();
  const double elapsed_s = std::chrono::duration<double>(last_drawn_ - begun_).count();
  std::string line = phase_;
  if (total_ > 0) {
    const double share =
        std::clamp(static_cast<double>(done) / static_cast<double>(total_), 0.0, 1.0);
    const auto filled = static_cast<int>(share * kBarColumns);
    line = fmt::format("{} [{:#<{}}{:.<{}}] {:3.0f} %", phase_, "", filled, "",
                       kBarColumns - filled, share * 100);
    if (done > 0 && done < total_)
      line += fmt::format(", {} left", format_duration(elapsed_s / share - elapsed_s));
  }
  fmt::print(stderr, "\r\033[K{}", line);
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressBar::erase() {
  if (drawn_) fmt::print(stderr, "\r\033[K");
  drawn_ = false;
}

void ProgressBar::warn(std::string_view sentence) {
  erase();
  fmt::print(stderr, "fluxq: warning: {}\n", sentence);
}

}  // namespace fluxq::cli
