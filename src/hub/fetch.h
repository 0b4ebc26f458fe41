/// `fluxq fetch`: a model from the Hub into the Hugging Face cache, in its own layout, or into a
/// folder of plain files. Files that are there already are used.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hub/download.h"

namespace fluxq {

struct FetchOptions {
  HubName name;
  std::vector<std::string> only;  ///< see select_files()
  std::filesystem::path to;       ///< a folder, made if missing; empty: the cache
  DownloadOptions download = {};
  /// Told once, before the first byte: what is to come.
  std::function<void(const HubListing& listing, size_t files, uint64_t bytes)> on_plan = {};
};

struct FetchResult {
  std::string commit;
  std::filesystem::path path;  ///< the model's folder, as for --model
  std::vector<HubFile> files;  ///< sorted by path
  uint64_t bytes = 0;          ///< of all of them
  uint64_t network_bytes = 0;  ///< that came over the network now
};

/// Errors: those of hub_access(), list_model(), select_files() and download(); disk_full before
/// anything is brought, if the disk has not enough room; not_found if HF_HUB_OFFLINE is set and the
/// model is not in the cache. The reference to the revision (refs/main) is set when all is there.
FetchResult fetch_model(const FetchOptions& options, DownloadProgress& progress,
                        const CancelToken& cancel);

}  // namespace fluxq
