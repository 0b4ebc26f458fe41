/// Folders as a whole: what they take on the disk, and removing them. Links are never followed, so
/// nothing outside the folder is counted or touched, even if somebody swaps a folder for a link
/// meanwhile.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "fluxq/cancel.h"

namespace fluxq {

struct TreeSize {
  uint64_t bytes = 0;  ///< allocated on the disk; a file with further names elsewhere counts as 0
  uint64_t files = 0;  ///< of all kinds but folders
  std::time_t last_use = 0;  ///< the latest reading or writing of a regular file

  TreeSize& operator+=(const TreeSize& other);
};

/// Of a file, link or folder with its contents; all zero if it is not there. What may not be read
/// is left out. cancelled.
TreeSize measure_tree(const std::filesystem::path& path, const CancelToken& cancel);

/// Removes a file, link or folder with its contents; returns what was freed. Nothing there: nothing
/// freed. Errors: io (a part that cannot be removed; what was removed before stays so), cancelled.
TreeSize remove_tree(const std::filesystem::path& path, const CancelToken& cancel);

/// Whatever in a folder and its sub-folders is no folder itself, sorted; nothing if it is not
/// there. What may not be read is left out. cancelled.
std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder,
                                               const CancelToken& cancel);

/// The names in a folder, sorted; none if it is not there or may not be read.
std::vector<std::string> names_in(const std::filesystem::path& folder);

}  // namespace fluxq
