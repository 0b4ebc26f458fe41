/// Reading and writing files so that nothing outside can hurt: only regular files are opened, they
/// are read with pread (a file that shrinks under us is an Error, not a SIGBUS as with mmap), and
/// what is written appears complete or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace fluxq {

/// Owns a file descriptor. Moves, never copies.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  /// Gives the descriptor away without closing it.
  int release();

 private:
  int fd_ = -1;
};

/// A regular file open for reading. Safe to read from several threads at once.
class InputFile {
 public:
  enum class Links { follow, refuse };

  /// Errors: not_found; io (no permission, a loop of links, with Links::refuse a link);
  /// bad_argument for a folder, fifo, socket or device.
  explicit InputFile(const std::filesystem::path& path, Links links = Links::follow);

  const std::filesystem::path& path() const { return path_; }
  /// Bytes at the time of opening.
  uint64_t size() const { return size_; }
  /// Names (hard links) that the file has.
  uint64_t link_count() const { return link_count_; }

  /// Fills `out` from `offset`. corrupt_file if the file ends before that, io if reading fails.
  void read_at(uint64_t offset, std::span<std::byte> out) const;

 private:
  std::filesystem::path path_;
  FileDescriptor fd_;
  uint64_t size_ = 0;
  uint64_t link_count_ = 0;
};

/// The whole file, whatever bytes it holds. corrupt_file above `max_bytes`, before anything is
/// read; otherwise as InputFile.
std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes);

/// A file that appears under its name only by commit(): until then it is a temporary file
/// ".NAME.PID.N.tmp" in the same folder, which the destructor removes. An existing file is
/// replaced, and stays as it was if anything fails.
///
/// Errors of all members name the path: disk_full (with the bytes asked for) on ENOSPC, EDQUOT and
/// EFBIG, not_found if the folder is missing, io otherwise. The program must ignore SIGXFSZ (the
/// command line does), or a file size limit kills it.
class AtomicFile {
 public:
  /// bad_argument if `path` exists and is not a regular file. `permissions` are those of the new
  /// file, less the umask.
  explicit AtomicFile(const std::filesystem::path& path, unsigned permissions = 0666);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  const std::filesystem::path& path() const { return path_; }

  /// Appends to what write() wrote before.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Writes anywhere; a gap reads as zeros.
  void write_at(uint64_t offset, std::span<const std::byte> bytes);

  /// fsync, rename to path(), fsync of the folder. Nothing may follow it.
  void commit();

 private:
  [[noreturn]] void fail_write(std::string_view what, int error_number) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  FileDescriptor fd_;
  uint64_t end_ = 0;  // where write() appends
};

/// Writes a whole file through AtomicFile.
void atomic_write(const std::filesystem::path& path, std::span<const std::byte> bytes,
                  unsigned permissions = 0666);
inline void atomic_write(const std::filesystem::path& path, std::string_view text,
                         unsigned permissions = 0666) {
  atomic_write(path, std::as_bytes(std::span(text)), permissions);
}

/// Brings the names in a folder to the disk, after a file there was renamed.
void flush_folder(const std::filesystem::path& folder);

/// The names in a folder, sorted by bytes. not_found, or io if it cannot be listed or is no folder.
std::vector<std::string> list_folder(const std::filesystem::path& folder);

/// Bytes that this user may still write to the file system where `path` is, or, if `path` does not
/// exist yet, where its nearest existing parent is.
uint64_t available_disk_bytes(const std::filesystem::path& path);

}  // namespace fluxq
