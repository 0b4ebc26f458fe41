/// The store of files that several models of the cache share (huggingface_hub 2 and newer):
/// CACHE/blobs/ab/XET_HASH with, beside it, XET_HASH.refs, the list of the links that lead to it.
#pragma once

#include <filesystem>
#include <vector>

#include "hub/file_tree.h"

namespace fluxq {

/// The shared files that the blobs of a model's folder are links to.
std::vector<std::filesystem::path> shared_blobs_of(const std::filesystem::path& cache,
                                                   const std::filesystem::path& model);

/// Removes a shared file that no listed link leads to any more. As huggingface_hub does: without a
/// readable list, or while another process holds its lock, it stays. Returns what was freed.
TreeSize sweep_shared_blob(const std::filesystem::path& cache, const std::filesystem::path& blob,
                           const CancelToken& cancel);

}  // namespace fluxq
