#include "checkpoint/writer.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

uint64_t spec_bytes(const TensorSpec& spec) {
  return static_cast<uint64_t>(element_count(spec.shape) * dtype_bytes(spec.dtype));
}

std::vector<TensorSpec> in_file_order(std::span<const TensorSpec> specs) {
  std::vector<TensorSpec> sorted(specs.begin(), specs.end());
  std::sort(sorted.begin(), sorted.end(), [](const TensorSpec& a, const TensorSpec& b) {
    return std::pair(-dtype_bytes(a.dtype), std::string_view(a.name)) <
           std::pair(-dtype_bytes(b.dtype), std::string_view(b.name));
  });
  return sorted;
}

// Written by hand, as a Json object would sort the tensors by name.
std::string header_text(std::span<const TensorSpec> sorted, const Metadata& metadata) {
  std::vector<std::string> members;
  if (!metadata.empty()) members.push_back("\"__metadata__\":" + Json(metadata).dump());
  uint64_t offset = 0;
  for (const TensorSpec& spec : sorted) {
    const uint64_t end = offset + spec_bytes(spec);
    members.push_back(fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                                  Json(spec.name).dump(), dtype_name(spec.dtype),
                                  fmt::join(spec.shape, ","), offset, end));
    offset = end;
  }
  std::string text = fmt::format("{{{}}}", fmt::join(members, ","));
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

// Absolute, without links, dots and a final separator; what does not exist is taken as written.
fs::path full_path(const fs::path& path) {
  std::error_code error;
  const fs::path full = fs::weakly_canonical(fs::absolute(path, error), error);
  if (error) fail_errno(fmt::format("cannot examine {}", path.string()), error.value());
  return full.has_filename() ? full : full.parent_path();
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const fs::path& path, std::span<const TensorSpec> specs,
                                     const Metadata& metadata)
    : file_(path) {
  for (const TensorSpec& spec : specs) {
    check_tensor_name(spec.name, path.string());
    data_bytes_ += spec_bytes(spec);
  }
  for (const auto& [key, value] : metadata)
    if (!is_utf8(key) || !is_utf8(value))
      fail(ErrorCode::bad_argument, "{}: metadata {}: expected UTF-8, got {}", path.string(),
           in_quotes(key), in_quotes(value));
  const std::string text = header_text(in_file_order(specs), metadata);
  // The reader's own check: what we write can be read.
  entries_ = parse_safetensors_header(text, data_bytes_, path.string()).tensors;
  for (const auto& [name, entry] : entries_) missing_.insert(name);
  const uint64_t header_bytes = text.size();
  file_.write(std::as_bytes(std::span(&header_bytes, 1)));
  file_.write(text);
  data_start_ = kSafetensorsPrefixBytes + header_bytes;
}

void SafetensorsWriter::write(std::string_view name, const Tensor& tensor) {
  const auto found = missing_.find(name);
  if (found == missing_.end())
    fail(ErrorCode::internal, "{}: tensor {} was not announced or is written twice",
         path().string(), in_quotes(name));
  const TensorEntry& entry = entries_.find(name)->second;
  if (tensor.dtype() != entry.dtype || tensor.shape() != entry.shape ||
      tensor.device() != Device::cpu)
    fail(ErrorCode::internal, "{}: tensor {}: expected {} {} in host memory, got {} {} ({})",
         path().string(), in_quotes(name), dtype_name(entry.dtype), to_string(entry.shape),
         dtype_name(tensor.dtype()), to_string(tensor.shape()), device_name(tensor.device()));
  file_.write_at(data_start_ + entry.offset,
                 {static_cast<const std::byte*>(tensor.raw()), entry.bytes});
  missing_.erase(found);
}

void SafetensorsWriter::commit() {
  if (!missing_.empty())
    fail(ErrorCode::internal, "{}: tensor {} was not written", path().string(),
         in_quotes(*missing_.begin()));
  file_.commit();
}

void save_safetensors(const fs::path& path, std::span<const std::pair<std::string, Tensor>> tensors,
                      const Metadata& metadata) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors)
    specs.push_back({name, tensor.dtype(), tensor.shape()});
  SafetensorsWriter writer(path, specs, metadata);
  for (const auto& [name, tensor] : tensors) writer.write(name, tensor);
  writer.commit();
}

PartWriter::PartWriter(const fs::path& folder, const std::string& stem,
                       std::span<const TensorSpec> specs, const Metadata& metadata,
                       uint64_t max_shard_bytes)
    : folder_(folder) {
  std::vector<std::vector<TensorSpec>> shards;
  std::vector<TensorSpec> current;
  uint64_t total_bytes = 0;
  uint64_t current_bytes = 0;
  for (const TensorSpec& spec : specs) {
    const uint64_t bytes = spec_bytes(spec);
    total_bytes += bytes;
    if (bytes > max_shard_bytes) {
      shards.push_back({spec});
      continue;
    }
    if (current_bytes + bytes > max_shard_bytes) {
      shards.push_back(std::exchange(current, {}));
      current_bytes = 0;
    }
    current.push_back(spec);
    current_bytes += bytes;
  }
  if (!current.empty() || shards.empty()) shards.push_back(current);
  if (const uint64_t available = available_disk_bytes(folder); available < total_bytes)
    fail(ErrorCode::disk_full, "cannot write {}: expected {} bytes of free space, got {}",
         folder.string(), total_bytes, available);

  if (shards.size() > 1) index_path_ = folder / (stem + ".safetensors.index.json");
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string number =
        shards.size() > 1 ? fmt::format("-{:05}-of-{:05}", i + 1, shards.size()) : "";
    shards_.emplace_back(folder / (stem + number + ".safetensors"), shards[i], metadata);
    for (const TensorSpec& spec : shards[i])
      if (!shard_of_.emplace(spec.name, i).second)
        fail(ErrorCode::internal, "{}: tensor {} is announced twice", folder.string(),
             in_quotes(spec.name));
  }
  check_folder();
}

void PartWriter::check_folder() const {
  for (const std::string& name : list_folder(folder_)) {
    const fs::path path = folder_ / name;
    const bool is_weights =
        name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
    const bool is_ours = path == index_path_ || std::any_of(shards_.begin(), shards_.end(),
                                                            [&](const SafetensorsWriter& shard) {
                                                              return shard.path() == path;
                                                            });
    if (is_weights && !is_ours)
      fail(ErrorCode::bad_argument, "cannot write to {}: expected no other weights, got {}",
           folder_.string(), name);
  }
}

void PartWriter::write(std::string_view name, const Tensor& tensor) {
  const auto found = shard_of_.find(name);
  if (found == shard_of_.end())
    fail(ErrorCode::internal, "{}: tensor {} was not announced", folder_.string(), in_quotes(name));
  shards_[found->second].write(name, tensor);
}

std::vector<fs::path> PartWriter::commit() {
  // An old index must not make old and new shards look like one model.
  std::error_code error;
  if (!index_path_.empty() && !fs::remove(index_path_, error) && error)
    fail_errno(fmt::format("cannot remove {}", index_path_.string()), error.value());
  std::vector<fs::path> paths;
  uint64_t total_bytes = 0;
  for (SafetensorsWriter& shard : shards_) {
    shard.commit();
    paths.push_back(shard.path());
    for (const auto& [name, entry] : shard.entries()) total_bytes += entry.bytes;
  }
  if (index_path_.empty()) return paths;
  Json map = Json::object();
  for (const auto& [name, shard] : shard_of_) map[name] = paths[shard].filename().string();
  const Json index = {{"metadata", {{"total_size", total_bytes}}}, {"weight_map", map}};
  atomic_write(index_path_, index.dump(2) + "\n");
  paths.push_back(index_path_);
  return paths;
}

void require_output_outside_input(const fs::path& input, const fs::path& output) {
  const fs::path from = full_path(input);
  const fs::path to = full_path(output);
  const auto [rest, unused] = std::mismatch(from.begin(), from.end(), to.begin(), to.end());
  if (rest == from.end())
    fail(ErrorCode::bad_argument, "cannot write {}: expected a place outside the input {}",
         output.string(), input.string());
}

}  // namespace fluxq
