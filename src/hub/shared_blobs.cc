#include "hub/shared_blobs.h"

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/file_lock.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxListBytes = 16 << 20;

fs::path with_suffix(fs::path path, const char* suffix) { return path += suffix; }

/// What `link` leads to in one step, or an empty path: a shared file only if it has the form of
/// one.
fs::path shared_target(const fs::path& cache, const fs::path& link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  if (error) return {};
  const fs::path path = (link.parent_path() / target).lexically_normal();
  const std::string name = path.filename().string();
  const bool is_hash = name.size() == 64 && name.find_first_not_of("0123456789abcdef") == name.npos;
  const fs::path expected = cache.lexically_normal() / "blobs" / name.substr(0, 2) / name;
  return is_hash && path == expected ? path : fs::path();
}

/// Does a line of the list, "models--org--name/blobs/HASH", still lead to the file?
bool leads_to(const fs::path& cache, const std::string& line, const fs::path& blob) {
  const fs::path relative = line;
  if (relative.is_absolute() || std::find(relative.begin(), relative.end(), "..") != relative.end())
    return false;
  return shared_target(cache, cache / relative) == blob.lexically_normal();
}

}  // namespace

std::vector<fs::path> shared_blobs_of(const fs::path& cache, const fs::path& model) {
  std::set<fs::path> found;
  for (const std::string& name : names_in(model / "blobs"))
    if (const fs::path target = shared_target(cache, model / "blobs" / name); !target.empty())
      found.insert(target);
  return {found.begin(), found.end()};
}

TreeSize sweep_shared_blob(const fs::path& cache, const fs::path& blob, const CancelToken& cancel) {
  const fs::path list = with_suffix(blob, ".refs");
  std::error_code error;
  if (!fs::is_regular_file(fs::symlink_status(blob, error)) ||
      !fs::is_regular_file(fs::symlink_status(list, error)))
    return {};
  const auto lock = FileLock::try_lock(with_suffix(blob, ".lock"));
  if (!lock) return {};
  const std::string text = read_text_file(list, kMaxListBytes);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (leads_to(cache, text.substr(begin, end - begin), blob)) return {};
    begin = end + 1;
  }
  TreeSize freed = remove_tree(blob, cancel);
  remove_tree(list, cancel);
  return freed;
}

}  // namespace fluxq
