/// All tensors of one part of a model from its files, whether its folder holds one file or an index
/// and shards. Opening reads headers only; what the index says and what the files hold
/// must agree in both directions.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.h"
#include "checkpoint/tensor_source.h"

namespace fluxq {

class TensorStore final : public TensorSource {
 public:
  /// `path` is a .safetensors file or a folder with, in this order of preference,
  /// "diffusion_pytorch_model" or "model" + ".safetensors.index.json" or ".safetensors", or else a
  /// single file "*.safetensors". Errors: not_found if there is none, unsupported if there are
  /// pickles only, bad_argument if the choice is not clear; those of SafetensorsFile and
  /// parse_shard_index(); corrupt_file if index and shards disagree (a tensor not where the index
  /// says, or in two shards; a wrong total_size).
  explicit TensorStore(const std::filesystem::path& path,
                       uint64_t max_header_bytes = kDefaultMaxHeaderBytes);

  const std::filesystem::path& path() const override { return path_; }
  const TensorEntry* find(std::string_view name) const override;
  /// As SafetensorsFile::read().
  Tensor read(std::string_view name, const CancelToken& cancel = {}) const override;
  std::vector<std::string> names() const override;
  size_t tensor_count() const { return file_of_.size(); }
  uint64_t total_bytes() const;
  std::vector<std::filesystem::path> files() const override;
  /// Of shards; empty for a single file.
  const std::filesystem::path& index_file() const { return index_file_; }
  const Metadata& metadata() const override { return files_.front().metadata(); }
  const std::vector<std::string>& warnings() const override { return warnings_; }

 private:
  void open_single(const std::filesystem::path& file, uint64_t max_header_bytes);
  void open_shards(const std::filesystem::path& index_file, uint64_t max_header_bytes);

  std::filesystem::path path_;
  std::filesystem::path index_file_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t, std::less<>> file_of_;  // index into files_
  std::vector<std::string> warnings_;
};

}  // namespace fluxq
