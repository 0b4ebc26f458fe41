/// Draws a download on standard error: on a terminal a bar for each file that is coming and one for
/// all, elsewhere a line for each file that has come.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "hub/download.h"

namespace fluxq::cli {

class DownloadBars final : public DownloadProgress {
 public:
  explicit DownloadBars(const Session& session);
  ~DownloadBars() override;

  void update(std::span<const FileProgress> files) override;

 private:
  using Clock = std::chrono::steady_clock;

  void erase();
  void draw(std::span<const FileProgress> files, uint64_t bytes, uint64_t done_bytes);
  std::string file_line(const FileProgress& file) const;

  const Session& session_;
  bool visible_;
  size_t lines_ = 0;  // drawn now
  std::vector<bool> said_;
  Clock::time_point begun_ = Clock::now(), last_drawn_ = {};
  uint64_t first_bytes_ = 0;  // there at the beginning
};

/// "[#####.....]" of `columns` columns, and the share in percent.
std::string bar(double share, int columns);

}  // namespace fluxq::cli
