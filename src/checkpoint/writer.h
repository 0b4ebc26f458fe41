/// Writing safetensors files: the sizes of all tensors are given first, the data follow one tensor
/// at a time in any order, and files appear complete or not at all. The same tensors give the same
/// bytes: like the Rust reference, large element types come first, then names in order, and spaces
/// pad the header to a multiple of 8, so that each tensor is aligned for its type.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "checkpoint/safetensors_header.h"

namespace fluxq {

/// A tensor that is going to be written.
struct TensorSpec {
  std::string name;
  DType dtype;
  Shape shape;
};

/// One file.
class SafetensorsWriter {
 public:
  /// Writes the header. Errors: those of AtomicFile; corrupt_file for names, ranks or counts that
  /// the reader would refuse.
  SafetensorsWriter(const std::filesystem::path& path, std::span<const TensorSpec> specs,
                    const Metadata& metadata = {});

  const std::filesystem::path& path() const { return file_.path(); }
  uint64_t file_bytes() const { return data_start_ + data_bytes_; }
  const TensorEntries& entries() const { return entries_; }

  /// The host tensor's bytes, once per name. Error(internal) if dtype or shape is not as announced.
  void write(std::string_view name, const Tensor& tensor);
  /// Publishes the file. Error(internal) if a tensor was not written.
  void commit();

 private:
  AtomicFile file_;
  TensorEntries entries_;
  std::set<std::string, std::less<>> missing_;
  uint64_t data_start_ = 0;
  uint64_t data_bytes_ = 0;
};

/// All at once, for tensors that are in host memory anyway.
void save_safetensors(const std::filesystem::path& path,
                      std::span<const std::pair<std::string, Tensor>> tensors,
                      const Metadata& metadata = {});

/// A part of a model: "STEM.safetensors", or, when that would be larger than `max_shard_bytes`,
/// "STEM-00001-of-0000N.safetensors" … and "STEM.safetensors.index.json" as huggingface_hub writes
/// them. Shards take the tensors in the order given, but one larger than `max_shard_bytes` has a
/// shard of its own.
class PartWriter {
 public:
  static constexpr uint64_t kDefaultShardBytes = 5'000'000'000;

  /// `folder` must exist. Errors: disk_full before anything is written if the free space does not
  /// suffice; bad_argument if the folder holds weights that would not be replaced, so that nobody
  /// could tell which are meant; those of SafetensorsWriter.
  PartWriter(const std::filesystem::path& folder, const std::string& stem,
             std::span<const TensorSpec> specs, const Metadata& metadata = {},
             uint64_t max_shard_bytes = kDefaultShardBytes);

  /// As SafetensorsWriter::write().
  void write(std::string_view name, const Tensor& tensor);
  /// Publishes all files, the index last. Returns their paths.
  std::vector<std::filesystem::path> commit();

 private:
  void check_folder() const;

  std::filesystem::path folder_;
  std::filesystem::path index_path_;
  std::vector<SafetensorsWriter> shards_;
  std::map<std::string, size_t, std::less<>> shard_of_;
};

/// Error(bad_argument) if `output` is `input` or lies inside it: results must never be written
/// over, or among, what they are made from. Neither has to exist.
void require_output_outside_input(const std::filesystem::path& input,
                                  const std::filesystem::path& output);

}  // namespace fluxq
