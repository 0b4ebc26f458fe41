#include "hub/fetch.h"

#include <sys/stat.h>

#include <map>
#include <mutex>

#include "base/file.h"
#include "hub/content.h"
#include "hub/partial_file.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

// The text of the Cache Directory Tagging specification, by which backup programs know a cache.
constexpr std::string_view kCacheTag = "Signature: 8a477f597d28d172789f06886806bc55\n";

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_errno(fmt::format("cannot create {}", folder.string()), error.value());
}

/// A file of this size, links followed.
bool has_size(const fs::path& path, uint64_t bytes) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         static_cast<uint64_t>(status.st_size) == bytes;
}

/// Makes `link` a relative link to `target`, in one step.
void link_to(const fs::path& target, const fs::path& link) {
  make_folders(link.parent_path());
  const fs::path relative = target.lexically_relative(link.parent_path());
  std::error_code error;
  if (fs::read_symlink(link, error) == relative) return;
  fs::path temporary = link;
  temporary += fmt::format(".{}.tmp", ::getpid());
  fs::remove(temporary, error);
  fs::create_symlink(relative, temporary, error);
  if (!error) fs::rename(temporary, link, error);
  if (error) fail_errno(fmt::format("cannot make the link {}", link.string()), error.value());
}

/// What of a target is already on the disk, unfinished.
uint64_t unfinished_bytes(const fs::path& final_path) {
  struct stat status = {};
  return ::stat(partial_path(final_path).c_str(), &status) == 0
             ? static_cast<uint64_t>(status.st_blocks) * 512
             : 0;
}

void check_room(const std::vector<DownloadTarget>& targets, const fs::path& folder) {
  uint64_t needed = 0;
  for (const DownloadTarget& target : targets)
    needed += target.bytes - std::min(target.bytes, unfinished_bytes(target.final_path));
  const uint64_t available = available_disk_bytes(folder);
  if (needed > available)
    fail(ErrorCode::disk_full, "{}: expected {} bytes of free space for the model, got {}",
         folder.string(), needed, available);
}

/// The places of one model in the cache.
struct CachedModel {
  fs::path cache, folder, snapshot;

  CachedModel(const fs::path& cache, const HubListing& listing)
      : cache(cache),
        folder(cache / repo_folder_name(listing.repo)),
        snapshot(folder / "snapshots" / listing.commit) {}

  fs::path blob(const HubFile& file) const { return folder / "blobs" / file.hash; }
  fs::path locks() const { return cache / ".locks" / folder.filename(); }
};

DownloadTarget target_of(const HubAccess& access, const HubListing& listing, const HubFile& file) {
  DownloadTarget target;
  target.name = file.path;
  target.url = file_url(access, listing, file);
  target.bytes = file.bytes;
  target.hash = file.hash;
  return target;
}

/// Files whose blob is missing; those that are there get their links now, the others when they
/// come.
std::vector<DownloadTarget> plan_cache(const HubAccess& access, const HubListing& listing,
                                       const std::vector<HubFile>& files,
                                       const CachedModel& model) {
  std::map<std::string, std::vector<HubFile>> by_hash;  // equal contents come once
  for (const HubFile& file : files) by_hash[file.hash].push_back(file);
  std::vector<DownloadTarget> targets;
  for (const HubFile& file : files) {
    const std::vector<HubFile>& same = by_hash[file.hash];
    if (file != same.front()) continue;
    const auto link_all = [model, same] {
      for (const HubFile& one : same) link_to(model.blob(one), model.snapshot / one.path);
    };
    // A file may stand in the snapshot itself, where links were not possible.
    const auto is_there = [model, same, blob = model.blob(file)] {
      return has_size(blob, same.front().bytes);
    };
    const bool all_in_snapshot = std::all_of(same.begin(), same.end(), [&](const HubFile& one) {
      return has_size(model.snapshot / one.path, one.bytes);
    });
    if (all_in_snapshot) continue;
    if (is_there()) {
      link_all();
      continue;
    }
    DownloadTarget target = target_of(access, listing, file);
    target.final_path = model.blob(file);
    target.lock = model.locks() / (file.hash + ".lock");
    target.is_there = [is_there, link_all] {
      if (!is_there()) return false;
      link_all();
      return true;
    };
    target.on_published = link_all;
    targets.push_back(std::move(target));
  }
  return targets;
}

/// Files below `folder` that are missing or have other contents.
std::vector<DownloadTarget> plan_folder(const HubAccess& access, const HubListing& listing,
                                        const std::vector<HubFile>& files, const fs::path& folder,
                                        const CachedModel& model, const CancelToken& cancel) {
  std::vector<DownloadTarget> targets;
  for (const HubFile& file : files) {
    DownloadTarget target = target_of(access, listing, file);
    target.final_path = folder / file.path;
    target.lock = partial_path(target.final_path) += ".lock";
    target.is_there = [path = target.final_path, file, &cancel] {
      return has_size(path, file.bytes) && hash_file(path, file.hash, cancel) == file.hash;
    };
    if (has_size(model.blob(file), file.bytes)) target.local_copy = model.blob(file);
    targets.push_back(std::move(target));
  }
  return targets;
}

void write_ref(const CachedModel& model, const HubListing& listing, const std::string& revision) {
  if (revision == listing.commit) return;
  const fs::path ref = model.folder / "refs" / revision;
  std::error_code ignored;
  if (fs::exists(ref, ignored) && read_text_file(ref, 4096) == listing.commit) return;
  make_folders(ref.parent_path());
  atomic_write(ref, listing.commit);
}

FetchResult offline(const FetchOptions& options, const fs::path& cache) {
  const auto snapshot = find_snapshot(cache, options.name);
  if (!snapshot || !options.to.empty())
    fail(ErrorCode::not_found, "HF_HUB_OFFLINE is set and {} (revision {}) is not in {}",
         options.name.repo, options.name.revision,
         options.to.empty() ? cache.string() : options.to.string());
  return {.commit = snapshot->filename().string(), .path = *snapshot, .files = {}};
}

}  // namespace

FetchResult fetch_model(const FetchOptions& options, DownloadProgress& progress,
                        const CancelToken& cancel) {
  const HubPaths paths = hub_paths();
  if (hub_is_offline()) return offline(options, paths.cache);
  const HubAccess access = hub_access(paths);
  HttpClient client(options.download.http, cancel);
  const HubListing listing = list_model(client, access, options.name);
  FetchResult result{
      .commit = listing.commit, .path = options.to, .files = select_files(listing, options.only)};
  for (const HubFile& file : result.files) result.bytes += file.bytes;

  const bool to_cache = options.to.empty();
  const CachedModel model(paths.cache, listing);
  if (to_cache) result.path = model.snapshot;
  const std::vector<DownloadTarget> targets =
      to_cache ? plan_cache(access, listing, result.files, model)
               : plan_folder(access, listing, result.files, options.to, model, cancel);
  if (options.on_plan) {
    uint64_t missing = 0;
    for (const DownloadTarget& target : targets) missing += target.bytes;
    options.on_plan(listing, targets.size(), missing);
  }
  if (!targets.empty()) {
    check_room(targets, to_cache ? paths.cache : options.to);
    for (const DownloadTarget& target : targets) {
      make_folders(target.final_path.parent_path());
      make_folders(target.lock.parent_path());
    }
    if (const fs::path tag = paths.cache / "CACHEDIR.TAG"; to_cache && !fs::exists(tag))
      atomic_write(tag, kCacheTag);
    result.network_bytes =
        download(targets, access, options.name, options.download, progress, cancel);
  }
  if (to_cache) write_ref(model, listing, options.name.revision);
  return result;
}

}  // namespace fluxq
