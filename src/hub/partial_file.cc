#include "hub/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/json.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr int kFormat = 1;
constexpr uint64_t kMaxStateBytes = 4 << 20;
constexpr size_t kMaxChunks = 1 << 20;
constexpr std::chrono::seconds kSaveInterval{1};

fs::path with_suffix(fs::path path, std::string_view suffix) { return path += suffix; }

}  // namespace

fs::path partial_path(const fs::path& final_path) {
  return with_suffix(final_path, ".fluxq.incomplete");
}

fs::path partial_state_path(const fs::path& final_path) {
  return with_suffix(final_path, ".fluxq-state.incomplete");
}

PartialFile::PartialFile(const fs::path& final_path, const Plan& plan)
    : final_path_(final_path),
      path_(partial_path(final_path)),
      state_path_(partial_state_path(final_path)),
      plan_(plan) {
  // A file of many chunks gets larger ones, so that the state stays small.
  plan_.chunk_bytes = std::max({plan.chunk_bytes, plan.bytes / kMaxChunks + 1, uint64_t{1}});
  done_.resize((plan.bytes + plan_.chunk_bytes - 1) / plan_.chunk_bytes);
  fd_ = FileDescriptor(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd_.valid()) fail_errno(fmt::format("cannot create {}", path_.string()), errno);
  struct stat status = {};
  if (::fstat(fd_.get(), &status) != 0 || !S_ISREG(status.st_mode))
    fail(ErrorCode::io, "cannot use {}: expected a regular file", path_.string());
  const bool has_size = static_cast<uint64_t>(status.st_size) == plan_.bytes;
  resumed_ = has_size && load_state();
  if (resumed_) return;
  reset();
}

PartialFile::~PartialFile() {
  if (over_) return;
  if (std::find(done_.begin(), done_.end(), true) == done_.end()) {
    discard();
    return;
  }
  try {
    if (unsaved_) save_state();
  } catch (const std::exception&) {
    // The chunks since the last save are brought again.
  }
}

uint64_t PartialFile::chunk_end(size_t chunk) const {
  return std::min(chunk_begin(chunk) + plan_.chunk_bytes, plan_.bytes);
}

uint64_t PartialFile::done_bytes() const {
  uint64_t bytes = 0;
  for (size_t chunk = 0; chunk < done_.size(); ++chunk)
    if (done_[chunk]) bytes += chunk_end(chunk) - chunk_begin(chunk);
  return bytes;
}

void PartialFile::write(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      fail_errno(fmt::format("cannot write {} bytes at byte {} of {}", bytes.size(), offset,
                             path_.string()),
                 errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
}

void PartialFile::mark_done(size_t chunk) {
  done_[chunk] = true;
  unsaved_ = true;
  if (Clock::now() - saved_at_ >= kSaveInterval) save_state();
}

void PartialFile::reset() {
  std::fill(done_.begin(), done_.end(), false);
  validator_.clear();
  resumed_ = unsaved_ = false;
  ::unlink(state_path_.c_str());
  if (::ftruncate(fd_.get(), 0) != 0 ||
      ::ftruncate(fd_.get(), static_cast<off_t>(plan_.bytes)) != 0)
    fail_errno(fmt::format("cannot make {} bytes of {}", plan_.bytes, path_.string()), errno);
}

bool PartialFile::load_state() {
  try {
    const std::string where = state_path_.string();
    const Json state = parse_json(read_text_file(state_path_, kMaxStateBytes), where, {.depth = 4});
    const std::string done = require_string(state, "done", where);
    if (require_int(state, "format", where, kFormat, kFormat) != kFormat ||
        require_string(state, "hash", where) != plan_.hash ||
        require_int(state, "chunk_bytes", where, 1, INT64_MAX) !=
            static_cast<int64_t>(plan_.chunk_bytes) ||
        done.size() != done_.size() || done.find_first_not_of("01") != done.npos)
      return false;
    for (size_t chunk = 0; chunk < done.size(); ++chunk) done_[chunk] = done[chunk] == '1';
    validator_ = require_string(state, "validator", where);
    return std::find(done_.begin(), done_.end(), true) != done_.end();
  } catch (const Error&) {
    return false;  // without a usable state the download starts anew
  }
}

void PartialFile::save_state() {
  if (::fdatasync(fd_.get()) != 0)
    fail_errno(fmt::format("cannot flush {}", path_.string()), errno);
  std::string done;
  for (const bool chunk : done_) done += chunk ? '1' : '0';
  const Json state = {{"format", kFormat},
                      {"hash", plan_.hash},
                      {"chunk_bytes", plan_.chunk_bytes},
                      {"validator", validator_},
                      {"done", done}};
  atomic_write(state_path_, state.dump());
  unsaved_ = false;
  saved_at_ = Clock::now();
}

void PartialFile::publish() {
  if (::fsync(fd_.get()) != 0) fail_errno(fmt::format("cannot flush {}", path_.string()), errno);
  if (::close(fd_.release()) != 0)
    fail_errno(fmt::format("cannot close {}", path_.string()), errno);
  if (::rename(path_.c_str(), final_path_.c_str()) != 0)
    fail_errno(fmt::format("cannot create {}", final_path_.string()), errno);
  ::unlink(state_path_.c_str());
  over_ = true;
  flush_folder(final_path_.parent_path());
}

void PartialFile::discard() {
  over_ = true;
  ::unlink(path_.c_str());
  ::unlink(state_path_.c_str());
}

}  // namespace fluxq
