#include "hub/verify.h"

#include <algorithm>

#include "base/file.h"
#include "base/text.h"
#include "hub/cache_layout.h"
#include "hub/content.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

bool is_hash(std::string_view name) {
  return (name.size() == 64 || name.size() == 40) &&
         name.find_first_not_of("0123456789abcdef") == name.npos;
}

void check_blobs(const fs::path& model, Verification& result, Progress& progress,
                 const CancelToken& cancel) {
  std::vector<fs::path> blobs;
  std::error_code error;
  uint64_t total = 0;
  for (fs::directory_iterator entry(model / "blobs", error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code missing;  // a link into the shared store may lead nowhere
    if (!is_hash(entry->path().filename().string()) || !fs::is_regular_file(entry->path(), missing))
      continue;
    blobs.push_back(entry->path());
    total += fs::file_size(entry->path(), missing);
  }
  std::sort(blobs.begin(), blobs.end());
  progress.begin("verify", static_cast<int64_t>(total));
  for (const fs::path& blob : blobs) {
    const std::string expected = blob.filename().string();
    uint64_t bytes = 0;
    const std::string hash = hash_file(blob, expected, cancel, [&](uint64_t done) {
      bytes = done;
      progress.update(static_cast<int64_t>(result.bytes + done));
    });
    ++result.files;
    result.bytes += bytes;
    if (hash != expected)
      result.faults.push_back(
          {blob, fmt::format("expected {} {}, got {}", hash_name(expected), expected, hash), true});
  }
}

void check_links(const fs::path& model, Verification& result) {
  std::error_code error;
  for (fs::recursive_directory_iterator entry(model / "snapshots", error), end;
       !error && entry != end; entry.increment(error)) {
    std::error_code missing;
    if (entry->is_symlink(missing) && !fs::exists(entry->path(), missing))
      result.faults.push_back(
          {entry->path(),
           fmt::format("expected a link to a file, got one to {}, which is missing",
                       fs::read_symlink(entry->path(), missing).string()),
           true});
  }
}

void check_references(const fs::path& model, Verification& result) {
  std::error_code error;
  for (fs::recursive_directory_iterator entry(model / "refs", error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code missing;
    if (!entry->is_regular_file(missing)) continue;
    std::string commit;
    try {
      commit = read_text_file(entry->path(), 256);
    } catch (const Error& unreadable) {
      result.faults.push_back({entry->path(), unreadable.what(), false});
      continue;
    }
    while (!commit.empty() && (commit.back() == '\n' || commit.back() == '\r')) commit.pop_back();
    if (!is_commit(commit) || !fs::is_directory(model / "snapshots" / commit, missing))
      result.faults.push_back(
          {entry->path(),
           fmt::format("expected the commit of a snapshot, got {}", in_quotes(commit)), true});
  }
}

}  // namespace

Verification verify_model(const fs::path& model, Progress& progress, const CancelToken& cancel) {
  Verification result;
  check_blobs(model, result, progress, cancel);
  check_links(model, result);
  check_references(model, result);
  return result;
}

}  // namespace fluxq
