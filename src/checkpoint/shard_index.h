/// The index of a sharded checkpoint, "NAME.safetensors.index.json": which file holds which tensor.
/// The form is that of huggingface_hub's split_torch_state_dict_into_shards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"

namespace fluxq {

struct ShardIndex {
  std::map<std::string, std::string, std::less<>> weight_map;  ///< tensor → file name
  std::optional<double> total_bytes;                           ///< metadata.total_size, if given
};

/// Error(corrupt_file) unless: an object with `weight_map`, an object of strings; at most 1,024
/// different files, each a plain name ending in ".safetensors" (no separators of any system, no
/// drive, no dot at the start); total_size, if given, a number >= 0 (some writers give 44.0).
ShardIndex parse_shard_index(std::string_view text, std::string_view where);

/// Opens a shard that an index names, inside `folder` and nowhere else: what the index says is not
/// trusted. A symbolic link is refused, with one exception: the Hugging Face cache stores every
/// file of ".../snapshots/REVISION/" as a link to ".../blobs/HASH", and that one as a link into
/// the store that models share, if it is there. A file with several hard links
/// is refused too, as it may be one from elsewhere. Errors: corrupt_file, or those of InputFile.
InputFile open_shard(const std::filesystem::path& folder, const std::string& name);

}  // namespace fluxq
