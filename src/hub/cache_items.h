/// What lies in caches and result folders that fluxq knows, for `fluxq cache`. Known means: found
/// by its own form, not by where it lies. What is not recognized is neither listed nor touched.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hub/file_tree.h"

namespace fluxq {

enum class CacheKind {
  hub,         ///< models of the Hugging Face cache
  runs,        ///< folders that `bench` wrote
  quantized,   ///< folders that `quantize` wrote
  algorithms,  ///< what fluxq itself keeps: $XDG_CACHE_HOME/fluxq
  torch,       ///< PyTorch's downloads and compiled code
  torchao,
  pip,
};

/// "hub", "runs", ...
std::string_view to_string(CacheKind kind);

struct CacheItem {
  CacheKind kind = CacheKind::hub;
  std::string name = {};            ///< "org/name", or a folder
  std::filesystem::path path = {};  ///< the folder
  /// What removing it means: all of `path`, or, where other files may lie beside, these; the folder
  /// then goes when it is empty.
  std::vector<std::filesystem::path> parts = {};
  TreeSize size = {};             ///< of the parts
  uint64_t unfinished_bytes = 0;  ///< of `size`: interrupted downloads
  std::vector<std::string> revisions =
      {};                ///< of a model: "main 0123456789ab", or commits without name
  bool is_flux = false;  ///< of a model: it is a FLUX.1 pipeline
};

/// What of a kind is where it belongs, sorted by name. `folders`, for runs and quantized models:
/// such folders, or folders that hold them. Never fails because something is missing; not_found for
/// a folder of `folders` that is. cancelled.
std::vector<CacheItem> find_items(CacheKind kind, const std::vector<std::filesystem::path>& folders,
                                  const CancelToken& cancel);

/// Removes an item; returns what was freed. Errors: io (in use by another process; a part that
/// cannot be removed), cancelled.
TreeSize remove_item(const CacheItem& item, const CancelToken& cancel);

}  // namespace fluxq
