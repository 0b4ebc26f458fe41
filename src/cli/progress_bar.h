/// Draws the library's progress on standard error: a bar with the time left on a terminal, nothing
/// but warnings elsewhere.
#pragma once

#include <chrono>
#include <string>

#include "cli/commands.h"

namespace fluxq::cli {

class ProgressBar final : public Progress {
 public:
  explicit ProgressBar(const Session& session);
  ~ProgressBar() override;

  void begin(std::string_view phase, int64_t total) override;
  void update(int64_t done) override;
  void warn(std::string_view sentence) override;

 private:
  void draw(int64_t done);
  void erase();

  bool visible_;
  bool drawn_ = false;
  std::string phase_;
  int64_t total_ = 0;
  std::chrono::steady_clock::time_point begun_, last_drawn_;
};

/// "7 s", "2 min 05 s", "1 h 03 min".
std::string format_duration(double seconds);

/// Whether standard error is a terminal that takes control codes.
bool is_terminal();

}  // namespace fluxq::cli
