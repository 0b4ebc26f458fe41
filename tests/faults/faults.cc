#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

namespace fluxq::faults {
namespace {

std::atomic<Kind> armed = Kind::none;
std::atomic<uint64_t> calls = 0;
uint64_t first_failure = 0;
bool is_lasting = false;

/// Is this an allocation whose failure no program can survive: nlohmann's JSON values allocate in
/// their destructor (3.11)?
bool is_hopeless() {
  void* frames[24];
  const int count = ::backtrace(frames, 24);
  for (int i = 0; i < count; ++i) {
    Dl_info info = {};
    if (::dladdr(frames[i], &info) != 0 && info.dli_sname &&
        std::strstr(info.dli_sname, "json_value7destroy"))
      return true;
  }
  return false;
}

/// Counts a call; does it fail?
bool fails(Kind kind) {
  if (armed.load(std::memory_order_acquire) != kind) return false;
  const uint64_t number = ++calls;
  if (is_lasting ? number < first_failure : number != first_failure) return false;
  if (kind == Kind::allocation && is_hopeless()) return false;
  if (number == first_failure && std::getenv("FLUXQ_FAULT")) {
    void* frames[24];
    ::backtrace_symbols_fd(frames, ::backtrace(frames, 24), STDERR_FILENO);
  }
  return true;
}

/// The function that this program's one stands before.
template <typename Function>
Function* next(Function* /*for its type*/, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

int refuse(int error) {
  errno = error;
  return -1;
}

}  // namespace

void arm(Kind kind, uint64_t first, bool lasting) {
  calls = 0;
  first_failure = first;
  is_lasting = lasting;
  armed.store(kind, std::memory_order_release);
}

uint64_t disarm() {
  armed = Kind::none;
  return calls;
}

namespace {

void* allocate(size_t bytes, size_t alignment) {
  if (fails(Kind::allocation)) return nullptr;
  if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) return std::malloc(bytes > 0 ? bytes : 1);
  void* memory = nullptr;
  return ::posix_memalign(&memory, alignment, bytes > 0 ? bytes : 1) == 0 ? memory : nullptr;
}

void* allocate_or_throw(size_t bytes, size_t alignment) {
  void* memory = allocate(bytes, alignment);
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace
}  // namespace fluxq::faults

using fluxq::faults::allocate;
using fluxq::faults::allocate_or_throw;
using fluxq::faults::fails;
using fluxq::faults::Kind;
using fluxq::faults::next;
using fluxq::faults::refuse;

// All forms: what is left out would be the address sanitizer's, whose memory free() does not take.
void* operator new(size_t bytes) { return allocate_or_throw(bytes, 1); }
void* operator new[](size_t bytes) { return allocate_or_throw(bytes, 1); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes, 1); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes, 1); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<size_t>(alignment));
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<size_t>(alignment));
}
void* operator new(size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(bytes, static_cast<size_t>(alignment));
}
void* operator new[](size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

/// Declares SYMBOL_of_the_system.
#define FLUXQ_NEXT(function) \
  static const auto function##_of_the_system = next(&::function, #function)

extern "C" {

/// For the leak sanitizer: a list that nlohmann's JSON (3.11) could not build to its end is lost,
/// and so is some of what oneDNN and curl were making when memory ran out.
const char* __lsan_default_suppressions() {
  return "leak:json_abi_v3_11_2::basic_json\nleak:libdnnl.so\nleak:libcurl.so\n";
}

void* aligned_alloc(size_t alignment, size_t bytes) noexcept { return allocate(bytes, alignment); }

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  FLUXQ_NEXT(open);
  return fails(Kind::file) ? refuse(EACCES) : open_of_the_system(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  FLUXQ_NEXT(open64);
  return fails(Kind::file) ? refuse(EACCES) : open64_of_the_system(path, flags, mode);
}
int mkdir(const char* path, mode_t mode) noexcept {
  FLUXQ_NEXT(mkdir);
  return fails(Kind::file) ? refuse(EACCES) : mkdir_of_the_system(path, mode);
}
ssize_t pread(int fd, void* bytes, size_t count, off_t offset) {
  FLUXQ_NEXT(pread);
  return fails(Kind::file) ? refuse(EIO) : pread_of_the_system(fd, bytes, count, offset);
}
ssize_t pread64(int fd, void* bytes, size_t count, off64_t offset) {
  FLUXQ_NEXT(pread64);
  return fails(Kind::file) ? refuse(EIO) : pread64_of_the_system(fd, bytes, count, offset);
}
ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) {
  FLUXQ_NEXT(pwrite);
  return fails(Kind::file) ? refuse(ENOSPC) : pwrite_of_the_system(fd, bytes, count, offset);
}
ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset) {
  FLUXQ_NEXT(pwrite64);
  return fails(Kind::file) ? refuse(ENOSPC) : pwrite64_of_the_system(fd, bytes, count, offset);
}
int fsync(int fd) {
  FLUXQ_NEXT(fsync);
  return fails(Kind::file) ? refuse(EIO) : fsync_of_the_system(fd);
}
int fdatasync(int fd) {
  FLUXQ_NEXT(fdatasync);
  return fails(Kind::file) ? refuse(EIO) : fdatasync_of_the_system(fd);
}
int ftruncate(int fd, off_t size) noexcept {
  FLUXQ_NEXT(ftruncate);
  return fails(Kind::file) ? refuse(ENOSPC) : ftruncate_of_the_system(fd, size);
}
int ftruncate64(int fd, off64_t size) noexcept {
  FLUXQ_NEXT(ftruncate64);
  return fails(Kind::file) ? refuse(ENOSPC) : ftruncate64_of_the_system(fd, size);
}
int rename(const char* from, const char* to) noexcept {
  FLUXQ_NEXT(rename);
  return fails(Kind::file) ? refuse(ENOSPC) : rename_of_the_system(from, to);
}
int symlink(const char* target, const char* link) noexcept {
  FLUXQ_NEXT(symlink);
  return fails(Kind::file) ? refuse(ENOSPC) : symlink_of_the_system(target, link);
}
int close(int fd) {
  FLUXQ_NEXT(close);
  const int result = close_of_the_system(fd);
  return fails(Kind::file) ? refuse(EIO) : result;
}

}  // extern "C"
