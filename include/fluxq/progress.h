/// What long work tells about itself. The library calls it; the command line draws the bar
/// (src/cli/progress_bar).
#pragma once

#include <cstdint>
#include <string_view>

namespace fluxq {

/// Called from the thread that runs the work. The default does nothing.
class Progress {
 public:
  virtual ~Progress() = default;
  /// A phase begins ("load transformer", "denoise") with `total` units, 0 when not known.
  virtual void begin(std::string_view /*phase*/, int64_t /*total*/) {}
  /// `done` units of the phase are finished.
  virtual void update(int64_t /*done*/) {}
  /// Something the user should know that does not stop the work: a full sentence.
  virtual void warn(std::string_view /*sentence*/) {}
};

}  // namespace fluxq
