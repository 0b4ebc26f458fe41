/// One process at a time in a folder: two runs must not write the same results.
#pragma once

#include <filesystem>
#include <memory>

#include "base/file.h"

namespace fluxq {

/// Holds an flock(2) on a lock file, which names the holder's pid and is removed on release. The
/// kernel drops the lock of a process that dies, so what it left behind is simply taken over. Some
/// network file systems grant every lock; nothing may rest on it alone.
class FileLock {
 public:
  /// Never waits. io "… in use by process N" if another holder lives (this process counts too);
  /// otherwise the errors of creating a file.
  explicit FileLock(const std::filesystem::path& path);
  /// Nothing if another holder lives.
  static std::unique_ptr<FileLock> try_lock(const std::filesystem::path& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  FileLock(std::filesystem::path path, FileDescriptor fd);

  std::filesystem::path path_;
  FileDescriptor fd_;
};

}  // namespace fluxq
