#include "checkpoint/tensor_store.h"

#include <set>

#include "base/text.h"
#include "checkpoint/shard_index.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxIndexBytes = 64 << 20;
constexpr std::string_view kIndexSuffix = ".safetensors.index.json";

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

// The weights file or index of a folder; see TensorStore's constructor.
fs::path find_weights(const fs::path& folder) {
  for (const std::string stem : {"diffusion_pytorch_model", "model"})
    for (const std::string_view suffix : {kIndexSuffix, std::string_view(".safetensors")})
      if (fs::path file = folder / (stem + std::string(suffix)); is_there(file)) return file;
  std::vector<std::string> candidates;
  std::string pickle;
  for (const std::string& name : list_folder(folder)) {
    if (name.starts_with('.')) continue;
    if (name.ends_with(".safetensors")) candidates.push_back(name);
    for (const std::string_view suffix : {".bin", ".ckpt", ".pt", ".pth"})
      if (name.ends_with(suffix)) pickle = name;
  }
  if (candidates.size() == 1) return folder / candidates.front();
  if (candidates.size() > 1)
    fail(ErrorCode::bad_argument,
         "{}: expected one .safetensors file or an index, got {} files: {}, {}", folder.string(),
         candidates.size(), candidates[0], candidates[1]);
  if (!pickle.empty())
    fail(
        ErrorCode::unsupported,
        "{}: expected safetensors, got the pickle {}, which can run code when it is read; save the "
        "model with diffusers' save_pretrained(..., safe_serialization=True)",
        folder.string(), pickle);
  fail(ErrorCode::not_found, "{}: expected a .safetensors file or an index of such files, got none",
       folder.string());
}

}  // namespace

TensorStore::TensorStore(const fs::path& path, uint64_t max_header_bytes) : path_(path) {
  std::error_code ignored;
  const fs::path file = fs::is_directory(path, ignored) ? find_weights(path) : path;
  if (file.string().ends_with(kIndexSuffix))
    open_shards(file, max_header_bytes);
  else
    open_single(file, max_header_bytes);
}

void TensorStore::open_single(const fs::path& file, uint64_t max_header_bytes) {
  files_.emplace_back(file, max_header_bytes);
  for (const auto& [name, entry] : files_[0].entries()) file_of_.emplace(name, 0);
  warnings_ = files_[0].warnings();
}

void TensorStore::open_shards(const fs::path& index_file, uint64_t max_header_bytes) {
  index_file_ = index_file;
  const std::string where = index_file.string();
  const ShardIndex index = parse_shard_index(read_text_file(index_file, kMaxIndexBytes), where);
  if (index.weight_map.empty())
    fail(ErrorCode::corrupt_file, "{}: weight_map: expected at least one tensor, got none", where);
  std::map<std::string, size_t, std::less<>> shards;
  for (const auto& [tensor, name] : index.weight_map) shards.emplace(name, 0);
  // Sorted by name, so that files() and metadata() do not depend on the tensors' names.
  for (auto& [name, number] : shards) {
    number = files_.size();
    files_.emplace_back(open_shard(index_file.parent_path(), name), max_header_bytes);
    const std::vector<std::string>& warnings = files_.back().warnings();
    warnings_.insert(warnings_.end(), warnings.begin(), warnings.end());
  }

  for (const auto& [tensor, name] : index.weight_map) {
    const size_t shard = shards.at(name);
    if (files_[shard].find(tensor) == nullptr)
      fail(ErrorCode::corrupt_file, "{}: tensor {}: expected it in {}, got a file without it",
           where, in_quotes(tensor), name);
    file_of_.emplace(tensor, shard);
  }
  size_t unlisted = 0;
  std::set<std::string_view> seen;
  for (const SafetensorsFile& file : files_) {
    for (const auto& [tensor, entry] : file.entries()) {
      if (!seen.insert(tensor).second)
        fail(ErrorCode::corrupt_file, "{}: tensor {}: expected it in one file, got it in {} too",
             where, in_quotes(tensor), file.path().filename().string());
      if (file_of_.count(tensor) == 0 && ++unlisted == 1)
        warnings_.push_back(fmt::format("{}: tensor {} is not in the index and was ignored",
                                        file.path().string(), in_quotes(tensor)));
    }
  }
  if (unlisted > 1)
    warnings_.push_back(fmt::format("{}: {} tensors are not in the index", where, unlisted));
  if (index.total_bytes && *index.total_bytes != static_cast<double>(total_bytes()))
    fail(ErrorCode::corrupt_file, "{}: total_size: expected {}, the sum of its tensors, got {}",
         where, total_bytes(), *index.total_bytes);
}

const TensorEntry* TensorStore::find(std::string_view name) const {
  const auto found = file_of_.find(name);
  return found == file_of_.end() ? nullptr : files_[found->second].find(name);
}

Tensor TensorStore::read(std::string_view name, const CancelToken& cancel) const {
  const auto found = file_of_.find(name);
  if (found == file_of_.end())
    fail(ErrorCode::not_found, "{}: no tensor {}", path_.string(), in_quotes(name));
  return files_[found->second].read(name, cancel);
}

std::vector<std::string> TensorStore::names() const {
  std::vector<std::string> names;
  names.reserve(file_of_.size());
  for (const auto& [name, file] : file_of_) names.push_back(name);
  return names;
}

uint64_t TensorStore::total_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, file] : file_of_) bytes += files_[file].find(name)->bytes;
  return bytes;
}

std::vector<fs::path> TensorStore::files() const {
  std::vector<fs::path> paths;
  for (const SafetensorsFile& file : files_) paths.push_back(file.path());
  return paths;
}

}  // namespace fluxq
