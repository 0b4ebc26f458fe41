#include "hub/cache_items.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>

#include "base/file.h"
#include "base/file_lock.h"
#include "base/json.h"
#include "hub/cache_layout.h"
#include "hub/shared_blobs.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 7> kKindNames = {
    "hub", "runs", "quantized", "algorithms", "torch", "torchao", "pip"};
constexpr uint64_t kMaxConfigBytes = 1 << 20;

// Names that fluxq writes into a run's folder and into a quantized model, and what the other
// programs' own cleaning removes.
constexpr std::array<std::string_view, 13> kRunParts = {
    "results.sqlite",   "results.sqlite-journal",
    "progress.md",      "pictures",
    ".latents",         "run.lock",
    "report.html",      "report.md",
    "report",           "matrix.csv",
    "results.json",     "recommendation.json",
    "recommendation.md"};
constexpr std::array<std::string_view, 10> kModelParts = {
    "model_index.json", "scheduler",   "text_encoder", "text_encoder_2", "tokenizer",
    "tokenizer_2",      "transformer", "vae",          "README.md",      "LICENSE.md"};
constexpr std::array<std::string_view, 3> kTorchParts = {"hub", "kernels", "inductor"};
constexpr std::array<std::string_view, 4> kPipParts = {"http", "http-v2", "wheels", "selfcheck"};

/// A folder itself, not a link to one.
bool is_real_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(fs::symlink_status(path, ignored));
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

/// A small JSON file's member `key` as text, or empty.
std::string member_of(const fs::path& file, const char* key) {
  try {
    const Json json = parse_json(read_text_file(file, kMaxConfigBytes), file.string());
    const Json* member = find_member(json, key, file.string());
    if (!member) return {};
    return member->is_string() ? member->get<std::string>() : "present";
  } catch (const Error&) {
    return {};
  }
}

template <typename Names>
std::vector<fs::path> parts_in(const fs::path& folder, const Names& names) {
  std::vector<fs::path> parts;
  for (const std::string_view name : names)
    if (is_there(folder / name)) parts.push_back(folder / name);
  return parts;
}

CacheItem measured(CacheItem item, const CancelToken& cancel) {
  for (const fs::path& part : item.parts) item.size += measure_tree(part, cancel);
  return item;
}

/// branch or tag → commit.
std::map<std::string, std::string> references_of(const fs::path& model, const CancelToken& cancel) {
  std::map<std::string, std::string> references;
  const fs::path folder = model / "refs";
  for (const fs::path& file : files_below(folder, cancel)) {
    try {
      references[file.lexically_relative(folder).string()] = read_text_file(file, kMaxRefBytes);
    } catch (const Error&) {
      // Listing shows what it can.
    }
  }
  return references;
}

CacheItem hub_item(const fs::path& cache, const fs::path& model, const CancelToken& cancel) {
  CacheItem item{.kind = CacheKind::hub, .path = model, .parts = {model}};
  item.name = model_name_of(model / "snapshots" / "x");
  const auto references = references_of(model, cancel);
  for (const std::string& commit : names_in(model / "snapshots")) {
    std::string names;
    for (const auto& [name, target] : references)
      if (target.starts_with(commit)) names += name + " ";
    item.revisions.push_back(names + commit.substr(0, 12));
    item.is_flux = item.is_flux || member_of(model / "snapshots" / commit / "model_index.json",
                                             "_class_name") == "FluxPipeline";
  }
  std::sort(item.revisions.begin(), item.revisions.end());
  bool by_fluxq = false;
  for (const std::string& name : names_in(model / "blobs")) {
    if (!name.ends_with(".incomplete")) continue;
    item.unfinished_bytes += measure_tree(model / "blobs" / name, cancel).bytes;
    by_fluxq = by_fluxq || name.ends_with(".fluxq.incomplete");
  }
  // A download that stopped before its index came is still one that was asked for here.
  item.is_flux = item.is_flux || (by_fluxq && item.revisions.empty());
  item = measured(std::move(item), cancel);
  for (const fs::path& blob : shared_blobs_of(cache, model))
    item.size += measure_tree(blob, cancel);
  return item;
}

std::vector<CacheItem> hub_items(const CancelToken& cancel) {
  const fs::path cache = hub_paths().cache;
  std::vector<CacheItem> items;
  std::error_code ignored;
  if (!fs::is_directory(cache, ignored)) return items;
  for (const std::string& name : list_folder(cache))
    if (name.starts_with("models--") && is_real_folder(cache / name))
      items.push_back(hub_item(cache, cache / name, cancel));
  return items;
}

bool is_run(const fs::path& folder) {
  return is_there(folder / "results.sqlite") && is_there(folder / "progress.md");
}

bool is_quantized_model(const fs::path& folder) {
  if (!is_there(folder / "model_index.json")) return false;
  return std::any_of(kModelParts.begin(), kModelParts.end(), [&](std::string_view part) {
    return !member_of(folder / part / "config.json", "quantization_config").empty();
  });
}

/// The folders of `roots` that `matches`, and those directly in them.
std::vector<fs::path> matching_folders(const std::vector<fs::path>& roots,
                                       bool (*matches)(const fs::path&)) {
  std::vector<fs::path> found;
  for (const fs::path& root : roots) {
    if (matches(root)) {
      found.push_back(root);
      continue;
    }
    for (const std::string& name : list_folder(root))
      if (is_real_folder(root / name) && matches(root / name)) found.push_back(root / name);
  }
  return found;
}

std::vector<fs::path> parts_of_run(const fs::path& folder) {
  std::vector<fs::path> parts = parts_in(folder, kRunParts);
  for (const std::string& name : list_folder(folder))  // kept when measurements were made anew
    if (name.starts_with("results.before-") && name.ends_with(".sqlite"))
      parts.push_back(folder / name);
  return parts;
}

std::vector<CacheItem> run_items(const std::vector<fs::path>& folders, const CancelToken& cancel) {
  std::vector<CacheItem> items;
  for (const fs::path& folder : folders)
    items.push_back(measured({.kind = CacheKind::runs,
                              .name = folder.string(),
                              .path = folder,
                              .parts = parts_of_run(folder)},
                             cancel));
  return items;
}

template <typename Names>
std::vector<CacheItem> folder_items(CacheKind kind, const std::vector<fs::path>& folders,
                                    const Names& names, const CancelToken& cancel) {
  std::vector<CacheItem> items;
  for (const fs::path& folder : folders)
    items.push_back(measured(
        {.kind = kind, .name = folder.string(), .path = folder, .parts = parts_in(folder, names)},
        cancel));
  return items;
}

/// A folder of another program, of which only `names` are touched.
template <typename Names>
std::vector<CacheItem> foreign_items(CacheKind kind, const fs::path& folder, const Names& names,
                                     const CancelToken& cancel) {
  if (!is_real_folder(folder) || parts_in(folder, names).empty()) return {};
  return folder_items(kind, {folder}, names, cancel);
}

fs::path variable_or(const char* variable, const fs::path& otherwise) {
  const char* value = std::getenv(variable);
  return value && *value ? fs::path(value) : otherwise;
}

std::vector<CacheItem> torch_items(const CancelToken& cancel) {
  std::vector<CacheItem> items =
      foreign_items(CacheKind::torch, variable_or("TORCH_HOME", user_cache_folder() / "torch"),
                    kTorchParts, cancel);
  // Compiled code lies in the folder for temporary files, under the user's name.
  const passwd* user = ::getpwuid(::getuid());
  std::error_code no_folder;
  const fs::path compiled = fs::temp_directory_path(no_folder) /
                            fmt::format("torchinductor_{}", user ? user->pw_name : "");
  struct stat status = {};
  if (user && !no_folder && ::lstat(compiled.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
      status.st_uid == ::getuid())
    items.push_back(measured({.kind = CacheKind::torch,
                              .name = compiled.string(),
                              .path = compiled,
                              .parts = {compiled}},
                             cancel));
  return items;
}

std::vector<CacheItem> whole_folder(CacheKind kind, const fs::path& folder,
                                    const CancelToken& cancel) {
  if (!is_real_folder(folder)) return {};
  return {
      measured({.kind = kind, .name = folder.string(), .path = folder, .parts = {folder}}, cancel)};
}

/// Keeps other processes from downloading into the model or writing the run meanwhile; fails while
/// one does.
std::vector<std::unique_ptr<FileLock>> lock_item(const CacheItem& item) {
  std::vector<fs::path> locks;
  if (item.kind == CacheKind::runs) locks = {item.path / "run.lock"};
  if (item.kind == CacheKind::hub) {
    const fs::path folder = item.path.parent_path() / ".locks" / item.path.filename();
    std::error_code ignored;
    if (fs::is_directory(folder, ignored))
      for (const std::string& name : list_folder(folder)) locks.push_back(folder / name);
  }
  std::vector<std::unique_ptr<FileLock>> held;
  for (const fs::path& lock : locks)
    if (is_there(lock)) held.push_back(std::make_unique<FileLock>(lock));
  return held;
}

}  // namespace

std::string_view to_string(CacheKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

std::vector<CacheItem> find_items(CacheKind kind, const std::vector<fs::path>& folders,
                                  const CancelToken& cancel) {
  switch (kind) {
    case CacheKind::hub:
      return hub_items(cancel);
    case CacheKind::runs:
      return run_items(matching_folders(folders, is_run), cancel);
    case CacheKind::quantized:
      return folder_items(kind, matching_folders(folders, is_quantized_model), kModelParts, cancel);
    case CacheKind::algorithms:
      return whole_folder(kind, user_cache_folder() / "fluxq", cancel);
    case CacheKind::torch:
      return torch_items(cancel);
    case CacheKind::torchao:
      return whole_folder(kind, user_cache_folder() / "torchao", cancel);
    case CacheKind::pip:
      return foreign_items(kind, variable_or("PIP_CACHE_DIR", user_cache_folder() / "pip"),
                           kPipParts, cancel);
  }
  return {};
}

TreeSize remove_item(const CacheItem& item, const CancelToken& cancel) {
  const auto locks = lock_item(item);
  const fs::path cache = item.path.parent_path();
  std::vector<fs::path> shared;
  if (item.kind == CacheKind::hub) shared = shared_blobs_of(cache, item.path);
  TreeSize freed;
  for (const fs::path& part : item.parts) freed += remove_tree(part, cancel);
  if (item.kind == CacheKind::hub) {
    for (const fs::path& blob : shared) freed += sweep_shared_blob(cache, blob, cancel);
    remove_tree(cache / ".locks" / item.path.filename(), cancel);
  }
  ::rmdir(item.path.c_str());  // stays if something else is in it
  return freed;
}

}  // namespace fluxq
