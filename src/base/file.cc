#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <utility>

namespace fluxq {
namespace {

// Linux transfers at most 0x7ffff000 bytes in one call.
constexpr size_t kMaxTransferBytes = size_t{1} << 30;

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a fifo";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.parent_path();
  return folder.empty() ? "." : folder;
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (valid()) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (valid()) ::close(fd_);
}

int FileDescriptor::release() { return std::exchange(fd_, -1); }

InputFile::InputFile(const std::filesystem::path& path, Links links) : path_(path) {
  // O_NONBLOCK: opening a fifo without a writer would wait for ever. Regular files ignore it.
  const int no_follow = links == Links::refuse ? O_NOFOLLOW : 0;
  fd_ = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | no_follow));
  if (!fd_.valid()) {
    if (errno == ELOOP && no_follow != 0)
      fail(ErrorCode::io, "cannot open {}: expected a file, got a link", path.string());
    fail_errno(fmt::format("cannot open {}", path.string()), errno);
  }
  struct stat status = {};
  if (::fstat(fd_.get(), &status) != 0)
    fail_errno(fmt::format("cannot examine {}", path.string()), errno);
  if (!S_ISREG(status.st_mode))
    fail(ErrorCode::bad_argument, "cannot read {}: expected a regular file, got {}", path.string(),
         kind_of(status.st_mode));
  size_ = static_cast<uint64_t>(status.st_size);
  link_count_ = status.st_nlink;
}

void InputFile::read_at(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(fd_.get(), out.data(), std::min(out.size(), kMaxTransferBytes),
                                  static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      fail_errno(fmt::format("cannot read {} at byte {}", path_.string(), offset), errno);
    if (count == 0)
      fail(ErrorCode::corrupt_file,
           "{}: file shrank: expected {} bytes more at byte {}, got the end", path_.string(),
           out.size(), offset);
    out = out.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
}

std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const InputFile file(path);
  if (file.size() > max_bytes)
    fail(ErrorCode::corrupt_file, "{}: expected at most {} bytes, got {}", path.string(), max_bytes,
         file.size());
  std::string text(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

AtomicFile::AtomicFile(const std::filesystem::path& path, unsigned permissions) : path_(path) {
  if (!path.has_filename())
    fail(ErrorCode::bad_argument, "cannot write \"{}\": expected a file name", path.string());
  // Renaming over a device or fifo would replace it.
  struct stat status = {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    fail(ErrorCode::bad_argument, "cannot write {}: expected a regular file, got {}", path.string(),
         kind_of(status.st_mode));
  static std::atomic<uint64_t> counter = 0;
  do {
    temporary_ = folder_of(path) / fmt::format(".{}.{}.{}.tmp", path.filename().string(),
                                               ::getpid(), counter.fetch_add(1));
    fd_ = FileDescriptor(
        ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, permissions));
  } while (!fd_.valid() && errno == EEXIST);
  if (!fd_.valid()) {
    temporary_.clear();
    fail_write("cannot create", errno);
  }
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::move(other.fd_)),
      end_(other.end_) {}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail_write(std::string_view what, int error_number) const {
  fail_errno(fmt::format("{} {}", what, path_.string()), error_number);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  write_at(end_, bytes);
  end_ += bytes.size();
}

void AtomicFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(fd_.get(), bytes.data(), std::min(bytes.size(), kMaxTransferBytes),
                 static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      fail_write(fmt::format("cannot write {} bytes at byte {} of", bytes.size(), offset), errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
}

void AtomicFile::commit() {
  if (::fsync(fd_.get()) != 0) fail_write("cannot flush", errno);
  if (::close(fd_.release()) != 0) fail_write("cannot close", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_write("cannot create", errno);
  temporary_.clear();
  flush_folder(folder_of(path_));
}

void flush_folder(const std::filesystem::path& folder) {
  const FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot flush a folder and say EINVAL; there is nothing better to do there.
  if (!fd.valid() || (::fsync(fd.get()) != 0 && errno != EINVAL))
    fail_errno(fmt::format("cannot flush folder {}", folder.string()), errno);
}

void atomic_write(const std::filesystem::path& path, std::span<const std::byte> bytes,
                  unsigned permissions) {
  AtomicFile file(path, permissions);
  file.write(bytes);
  file.commit();
}

std::vector<std::string> list_folder(const std::filesystem::path& folder) {
  // Not std::filesystem's iterator, which ends the program when memory runs out.
  struct Close {
    void operator()(DIR* stream) const { ::closedir(stream); }
  };
  const std::unique_ptr<DIR, Close> stream(::opendir(folder.c_str()));
  if (!stream) fail_errno(fmt::format("cannot list {}", folder.string()), errno);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) fail_errno(fmt::format("cannot list {}", folder.string()), errno);
  std::sort(names.begin(), names.end());
  return names;
}

uint64_t available_disk_bytes(const std::filesystem::path& path) {
  std::filesystem::path existing = std::filesystem::absolute(path);
  struct statvfs status = {};
  while (::statvfs(existing.c_str(), &status) != 0) {
    if ((errno != ENOENT && errno != ENOTDIR) || existing == existing.root_path())
      fail_errno(fmt::format("cannot ask for the free space at {}", path.string()), errno);
    existing = existing.parent_path();
  }
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

}  // namespace fluxq
