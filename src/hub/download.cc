#include "hub/download.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "hub/file_download.h"

namespace fluxq {
namespace {

constexpr std::chrono::milliseconds kTick{50};  // between two reports
constexpr std::chrono::milliseconds kIdle{10};  // of a thread that finds nothing to do

/// The threads of one download. Its destructor stops and joins them.
class Workers {
 public:
  Workers(std::deque<FileDownload>& files, const HttpOptions& http, CancelToken& stop, int count)
      : files_(files), http_(http), stop_(stop), running_(count) {
    try {
      for (int i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
    } catch (...) {  // not even this many
      end();
      throw;
    }
  }
  ~Workers() { end(); }

  /// True when all have ended.
  bool wait(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return ended_.wait_for(lock, time, [this] { return running_ == 0; });
  }
  std::exception_ptr failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

 private:
  void work() {
    try {
      HttpClient client(http_, stop_);
      while (!stop_.requested() && !all_done())
        if (!run_one(client)) std::this_thread::sleep_for(kIdle);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      stop_.request();
    }
    const std::lock_guard lock(mutex_);
    --running_;
    ended_.notify_all();
  }

  void end() {
    stop_.request();
    for (std::thread& thread : threads_) thread.join();
  }

  bool run_one(HttpClient& client) {
    for (FileDownload& file : files_) {
      if (const auto task = file.next()) {
        file.run(*task, client);
        return true;
      }
    }
    return false;
  }

  bool all_done() const {
    return std::all_of(files_.begin(), files_.end(),
                       [](const FileDownload& file) { return file.is_done(); });
  }

  std::deque<FileDownload>& files_;
  const HttpOptions& http_;
  CancelToken& stop_;
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  int running_;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace

uint64_t download(const std::vector<DownloadTarget>& targets, const HubAccess& access,
                  const HubName& name, const DownloadOptions& options, DownloadProgress& progress,
                  const CancelToken& cancel) {
  CancelToken stop;
  std::atomic<uint64_t> network_bytes{0};
  const FileDownload::Context context{access, name, options, stop, network_bytes};
  std::deque<FileDownload> files;
  for (const DownloadTarget& target : targets) files.emplace_back(target, context);
  const auto report = [&] {
    std::vector<FileProgress> all;
    for (const FileDownload& file : files) all.push_back(file.progress());
    progress.update(all);
  };
  {
    Workers workers(files, options.http, stop, std::max(options.connections, 1));
    while (!workers.wait(kTick)) {
      if (cancel.requested()) stop.request();
      report();
    }
    cancel.check();
    if (const std::exception_ptr failure = workers.failure()) std::rethrow_exception(failure);
  }
  report();
  return network_bytes;
}

}  // namespace fluxq
