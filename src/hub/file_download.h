/// One file of download(): what is left to do for it, in tasks that several threads run.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>

#include "base/file_lock.h"
#include "hub/download.h"
#include "hub/partial_file.h"

namespace fluxq {

class FileDownload {
 public:
  /// What all files of a download share.
  struct Context {
    const HubAccess& access;
    const HubName& name;
    const DownloadOptions& options;
    const CancelToken& stop;
    std::atomic<uint64_t>& network_bytes;
  };
  struct Task {
    std::optional<size_t> chunk;  ///< nothing: the file as a whole
    unsigned generation = 0;
  };

  FileDownload(const DownloadTarget& target, const Context& context)
      : target_(target), context_(context) {}

  /// The next task, claimed for the caller, or nothing for now. Never waits.
  std::optional<Task> next();
  /// Errors: see download().
  void run(const Task& task, HttpClient& client);

  bool is_done() const { return state_ == FileProgress::State::done; }
  FileProgress progress() const;

 private:
  enum class Stage { idle, busy, ranges };
  enum class Outcome { done, stale, restart_ranges, restart_whole };
  using Clock = std::chrono::steady_clock;

  void open(HttpClient& client);
  void copy_local();
  void proceed(HttpClient& client);
  void run_chunk(size_t chunk, unsigned generation, HttpClient& client);
  void restart(Outcome how, unsigned generation, HttpClient& client);
  Outcome fetch_chunk(size_t chunk, unsigned generation, HttpClient& client);
  Outcome judge_range(const HttpResponse& head, uint64_t begin, bool conditional,
                      unsigned generation);
  void fetch_whole(HttpClient& client);
  HttpRequest request_from(const std::string& location) const;
  bool note_location(const HttpResponse& response);
  bool take(unsigned generation, uint64_t offset, std::span<const std::byte> bytes);
  void check_and_publish(HttpClient& client);
  void finish();

  const DownloadTarget& target_;
  const Context& context_;

  mutable std::mutex mutex_;  // guards what follows
  Stage stage_ = Stage::idle;
  Clock::time_point not_before_ = {};
  std::vector<bool> taken_;
  size_t chunks_left_ = 0;
  std::string location_;  // where the Hub sent us last, at another origin
  bool use_validator_ = true;

  std::shared_mutex content_mutex_;  // exclusive: the chunks are thrown away
  std::mutex state_mutex_;           // guards marking chunks and the validator
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<PartialFile> partial_;
  bool trusts_partial_ = false;  // some bytes are from elsewhere: a wrong hash may be their fault

  std::atomic<unsigned> generation_{0};
  std::atomic<uint64_t> done_bytes_{0};
  std::atomic<FileProgress::State> state_{FileProgress::State::waiting};
};

}  // namespace fluxq
