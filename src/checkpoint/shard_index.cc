#include "checkpoint/shard_index.h"

#include <set>

#include "base/json.h"
#include "base/text.h"
#include "checkpoint/safetensors_header.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxShards = 1024;
constexpr size_t kMaxFileNameBytes = 255;

bool is_plain_file_name(std::string_view name) {
  return name.size() <= kMaxFileNameBytes && name.ends_with(".safetensors") &&
         !name.starts_with('.') && name.find_first_of("/\\:") == name.npos &&
         !has_control_character(name);
}

// Is it a file directly in the blobs of the model's folder, or of the cache's store of files that
// several models share ("CACHE/blobs/ab/HASH", where HASH begins with ab)?
bool is_blob_of(const fs::path& model, const fs::path& target) {
  const fs::path folder = target.parent_path();
  if (folder == model / "blobs") return true;
  return folder.parent_path() == model.parent_path() / "blobs" &&
         target.filename().string().starts_with(folder.filename().string());
}

// The file of the cache that the link `link` stands for, or an empty path: for
// "CACHE/MODEL/snapshots/REVISION[/part]" as folder that is one of its blobs.
fs::path blob_of_link(const fs::path& folder, const fs::path& link) {
  std::error_code error;
  const fs::path target = fs::canonical(link, error);
  if (error) return {};
  for (fs::path ancestor = fs::canonical(folder, error); ancestor.has_relative_path();
       ancestor = ancestor.parent_path()) {
    if (ancestor.parent_path().filename() == "snapshots")
      return is_blob_of(ancestor.parent_path().parent_path(), target) ? target : fs::path();
  }
  return {};
}

}  // namespace

ShardIndex parse_shard_index(std::string_view text, std::string_view where) {
  const Json root = parse_json(text, where, {.depth = 8});
  const Json* map = find_member(root, "weight_map", where);
  if (map == nullptr || !map->is_object())
    fail(ErrorCode::corrupt_file, "{}: weight_map: expected an object, got {}", where,
         map == nullptr ? "nothing" : describe(*map));
  ShardIndex index;
  std::set<std::string_view> files;
  for (const auto& [tensor, file] : map->get_ref<const Json::object_t&>()) {
    check_tensor_name(tensor, where);
    if (!file.is_string() || !is_plain_file_name(file.get_ref<const std::string&>()))
      fail(ErrorCode::corrupt_file,
           "{}: tensor {}: expected the name of a .safetensors file in the same folder, got {}",
           where, in_quotes(tensor), describe(file));
    files.insert(file.get_ref<const std::string&>());
    if (files.size() > kMaxShards)
      fail(ErrorCode::corrupt_file, "{}: expected at most {} files, got more", where, kMaxShards);
    index.weight_map.emplace(tensor, file.get_ref<const std::string&>());
  }
  const Json* metadata = find_member(root, "metadata", where);
  if (metadata != nullptr && find_member(*metadata, "total_size", where) != nullptr)
    index.total_bytes = require_number(*metadata, "total_size", where, 0);
  return index;
}

InputFile open_shard(const fs::path& folder, const std::string& name) {
  fs::path path = folder / name;
  std::error_code ignored;
  if (fs::is_symlink(path, ignored)) {
    const fs::path blob = blob_of_link(folder, path);
    if (blob.empty())
      fail(ErrorCode::corrupt_file,
           "{}: expected a file in the folder, got a link (put the file itself there)",
           path.string());
    path = blob;
  }
  InputFile file(path, InputFile::Links::refuse);
  if (file.link_count() > 1)
    fail(ErrorCode::corrupt_file,
         "{}: expected a file of this folder alone, got one with {} hard links (put a copy there)",
         path.string(), file.link_count());
  return file;
}

}  // namespace fluxq
