/// Do the files of a cached model have the contents that their names promise?
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "fluxq/cancel.h"
#include "fluxq/progress.h"

namespace fluxq {

struct CacheFault {
  std::filesystem::path path;
  std::string sentence;
  /// Removing this file mends it: fetch brings it again.
  bool removable = false;
};

struct Verification {
  uint64_t files = 0, bytes = 0;  ///< whose contents were read
  std::vector<CacheFault> faults;
};

/// Reads all blobs of a model's folder in the cache (".../models--org--name") and follows its links
/// and references. Unfinished downloads are no faults. Errors: io, cancelled.
Verification verify_model(const std::filesystem::path& model, Progress& progress,
                          const CancelToken& cancel);

}  // namespace fluxq
