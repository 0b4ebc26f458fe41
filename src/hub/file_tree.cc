#include "hub/file_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/file.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 64;

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

TreeSize size_of(const struct stat& status) {
  TreeSize size;
  if (S_ISDIR(status.st_mode)) return size;
  size.files = 1;
  if (!S_ISREG(status.st_mode)) return size;
  if (status.st_nlink == 1) size.bytes = static_cast<uint64_t>(status.st_blocks) * 512;
  size.last_use = std::max(status.st_atime, status.st_mtime);
  return size;
}

/// Walks a tree by descriptors: each folder is opened without following links, and its entries are
/// named relative to it.
class Walk {
 public:
  Walk(bool remove, const CancelToken& cancel) : remove_(remove), cancel_(cancel) {}

  TreeSize visit(int parent, const std::string& name, const fs::path& shown, int depth) {
    cancel_.check();
    struct stat status = {};
    if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) refuse("examine", shown);
      return {};
    }
    TreeSize size = size_of(status);
    const bool is_folder = S_ISDIR(status.st_mode);
    if (is_folder)
      size += visit_entries(parent, name, shown, depth);
    else
      files_.push_back(shown);
    if (remove_ && ::unlinkat(parent, name.c_str(), is_folder ? AT_REMOVEDIR : 0) != 0 &&
        errno != ENOENT)
      refuse("remove", shown);
    return size;
  }

  /// What was visited and is no folder.
  std::vector<fs::path>& files() { return files_; }

 private:
  TreeSize visit_entries(int parent, const std::string& name, const fs::path& shown, int depth) {
    if (depth >= kMaxDepth)
      fail(ErrorCode::io, "cannot handle {}: expected at most {} folders in one another",
           shown.string(), kMaxDepth);
    const int fd = ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const std::unique_ptr<DIR, CloseFolder> folder(fd < 0 ? nullptr : ::fdopendir(fd));
    if (!folder) {
      if (fd >= 0) ::close(fd);
      refuse("open", shown);
      return {};
    }
    std::vector<std::string> names;  // all first: removing while listing may skip some
    while (const dirent* entry = ::readdir(folder.get())) {
      const std::string_view child = entry->d_name;
      if (child != "." && child != "..") names.emplace_back(child);
    }
    TreeSize size;
    for (const std::string& child : names)
      size += visit(::dirfd(folder.get()), child, shown / child, depth + 1);
    return size;
  }

  /// Removing must succeed; counting leaves out what it may not see.
  void refuse(std::string_view what, const fs::path& shown) const {
    if (remove_) fail_errno(fmt::format("cannot {} {}", what, shown.string()), errno);
  }

  bool remove_;
  const CancelToken& cancel_;
  std::vector<fs::path> files_;
};

TreeSize walk(const fs::path& path, bool remove, const CancelToken& cancel) {
  return Walk(remove, cancel).visit(AT_FDCWD, path.string(), path, 0);
}

}  // namespace

TreeSize& TreeSize::operator+=(const TreeSize& other) {
  bytes += other.bytes;
  files += other.files;
  last_use = std::max(last_use, other.last_use);
  return *this;
}

TreeSize measure_tree(const fs::path& path, const CancelToken& cancel) {
  return walk(path, false, cancel);
}

TreeSize remove_tree(const fs::path& path, const CancelToken& cancel) {
  return walk(path, true, cancel);
}

std::vector<fs::path> files_below(const fs::path& folder, const CancelToken& cancel) {
  Walk walk(false, cancel);
  walk.visit(AT_FDCWD, folder.string(), folder, 0);
  std::sort(walk.files().begin(), walk.files().end());
  return std::move(walk.files());
}

std::vector<std::string> names_in(const fs::path& folder) {
  try {
    return list_folder(folder);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace fluxq
