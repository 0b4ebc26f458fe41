/// Brings files over the network, several at a time and large ones in parallel ranges, each to its
/// place only when its contents have the hash that the Hub names. What was brought survives an
/// interruption (partial_file.h) and is completed by the next process.
///
/// How a server's oddities are met: a range answered with the whole file, or with a changed ETag,
/// starts the file anew, at the second time without ranges; a link of a content network that has
/// expired is asked for again at the Hub; a cut or slow connection goes on where it was.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "hub/http.h"
#include "hub/listing.h"

namespace fluxq {

/// One file to bring.
struct DownloadTarget {
  std::string name;                  ///< for messages and bars: its path in the model
  std::string url;                   ///< at the Hub, where the token belongs
  uint64_t bytes = 0;                ///< that it must have
  std::string hash;                  ///< that it must have; see HubFile
  std::filesystem::path final_path;  ///< its folder must exist
  std::filesystem::path lock;        ///< one process at a time; its folder must exist
  std::filesystem::path local_copy;  ///< a file believed to have these contents, or empty
  /// The file was found there when the lock was taken: another process has brought it.
  std::function<bool()> is_there;
  /// The file is at final_path now. Called from several threads, but once.
  std::function<void()> on_published;
};

struct FileProgress {
  enum class State { waiting, loading, checking, done };
  std::string name;
  uint64_t bytes = 0, done_bytes = 0;
  State state = State::waiting;
};

/// Hears of the progress, from the thread that called download().
class DownloadProgress {
 public:
  virtual ~DownloadProgress() = default;
  /// All files, several times a second and at the end.
  virtual void update(std::span<const FileProgress>) {}
};

struct DownloadOptions {
  int connections = 8;
  uint64_t chunk_bytes = 32 << 20;  ///< of a range; what an interruption may lose per connection
  HttpOptions http = {};
};

/// Returns the bytes that came over the network. Errors, of the first file that fails: network,
/// corrupt_file (length or hash are not those expected; nothing is kept), not_found, disk_full, io,
/// cancelled.
uint64_t download(const std::vector<DownloadTarget>& targets, const HubAccess& access,
                  const HubName& name, const DownloadOptions& options, DownloadProgress& progress,
                  const CancelToken& cancel);

}  // namespace fluxq
