#include "hub/verify.h"

#include "base/file.h"
#include "base/text.h"
#include "hub/cache_layout.h"
#include "hub/content.h"
#include "hub/file_tree.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

bool is_hash(std::string_view name) {
  return (name.size() == 64 || name.size() == 40) &&
         name.find_first_not_of("0123456789abcdef") == name.npos;
}

void check_blobs(const fs::path& model, Verification& result, Progress& progress,
                 const CancelToken& cancel) {
  std::error_code missing;  // a link into the shared store may lead nowhere
  std::vector<fs::path> blobs;
  uint64_t total = 0;
  if (fs::is_directory(model / "blobs", missing))
    for (const std::string& name : list_folder(model / "blobs")) {
      const fs::path blob = model / "blobs" / name;
      if (!is_hash(name) || !fs::is_regular_file(blob, missing)) continue;
      blobs.push_back(blob);
      total += fs::file_size(blob, missing);
    }
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

void check_links(const fs::path& model, Verification& result, const CancelToken& cancel) {
  std::error_code missing;
  for (const fs::path& file : files_below(model / "snapshots", cancel))
    if (fs::is_symlink(fs::symlink_status(file, missing)) && !fs::exists(file, missing))
      result.faults.push_back(
          {file,
           fmt::format("expected a link to a file, got one to {}, which is missing",
                       fs::read_symlink(file, missing).string()),
           true});
}

void check_references(const fs::path& model, Verification& result, const CancelToken& cancel) {
  for (const fs::path& file : files_below(model / "refs", cancel)) {
    std::string commit;
    try {
      commit = read_text_file(file, kMaxRefBytes);
    } catch (const Error& unreadable) {
      result.faults.push_back({file, unreadable.what(), false});
      continue;
    }
    std::error_code missing;
    while (!commit.empty() && (commit.back() == '\n' || commit.back() == '\r')) commit.pop_back();
    if (!is_commit(commit) || !fs::is_directory(model / "snapshots" / commit, missing))
      result.faults.push_back(
          {file, fmt::format("expected the commit of a snapshot, got {}", in_quotes(commit)),
           true});
  }
}

}  // namespace

Verification verify_model(const fs::path& model, Progress& progress, const CancelToken& cancel) {
  Verification result;
  check_blobs(model, result, progress, cancel);
  check_links(model, result, cancel);
  check_references(model, result, cancel);
  return result;
}

}  // namespace fluxq
