#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace fluxq {
namespace {

// What the holder wrote: digits, or nothing if it is just about to write them.
std::string holder_of(int fd) {
  std::array<char, 16> text;
  const ssize_t count = ::pread(fd, text.data(), text.size(), 0);
  std::string digits;
  for (ssize_t i = 0; i < count && text[i] >= '0' && text[i] <= '9'; ++i) digits += text[i];
  return digits.empty() ? "another process" : "process " + digits;
}

// The previous holder removes the file on release: then we hold a file without a name.
bool has_name(int fd, const std::filesystem::path& path) {
  struct stat opened = {};
  struct stat named = {};
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

// The locked file; no descriptor and the holder's name if another one has it.
FileDescriptor acquire(const std::filesystem::path& path, std::string& holder) {
  FileDescriptor fd;
  do {
    fd = FileDescriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!fd.valid()) fail_errno(fmt::format("cannot create {}", path.string()), errno);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) fail_errno(fmt::format("cannot lock {}", path.string()), errno);
      holder = holder_of(fd.get());
      return {};
    }
  } while (!has_name(fd.get(), path));
  return fd;
}

FileDescriptor acquire_or_fail(const std::filesystem::path& path) {
  std::string holder;
  FileDescriptor fd = acquire(path, holder);
  if (!fd.valid()) fail(ErrorCode::io, "cannot lock {}: in use by {}", path.string(), holder);
  return fd;
}

}  // namespace

FileLock::FileLock(std::filesystem::path path, FileDescriptor fd)
    : path_(std::move(path)), fd_(std::move(fd)) {
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd_.get(), 0) != 0 ||
      ::pwrite(fd_.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    fail_errno(fmt::format("cannot write {}", path_.string()), errno);
}

FileLock::FileLock(const std::filesystem::path& path) : FileLock(path, acquire_or_fail(path)) {}

std::unique_ptr<FileLock> FileLock::try_lock(const std::filesystem::path& path) {
  std::string holder;
  FileDescriptor fd = acquire(path, holder);
  return std::unique_ptr<FileLock>(fd.valid() ? new FileLock(path, std::move(fd)) : nullptr);
}

FileLock::~FileLock() { ::unlink(path_.c_str()); }

}  // namespace fluxq
