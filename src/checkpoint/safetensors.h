/// A safetensors file open for reading. Opening reads and checks the header only (structure, then
/// every tensor against the file's size); a tensor's bytes are read when asked for, into memory of
/// its own, so nothing depends on alignment in the file or on the file staying as it is.
#pragma once

#include <filesystem>
#include <span>

#include "base/file.h"
#include "checkpoint/safetensors_header.h"
#include "fluxq/cancel.h"

namespace fluxq {

class SafetensorsFile {
 public:
  /// Errors of InputFile and of parse_safetensors_header(); corrupt_file too for a header that is
  /// longer than the file or than `max_header_bytes` (which is cut to what the format allows).
  explicit SafetensorsFile(InputFile file, uint64_t max_header_bytes = kDefaultMaxHeaderBytes);
  explicit SafetensorsFile(const std::filesystem::path& path,
                           uint64_t max_header_bytes = kDefaultMaxHeaderBytes)
      : SafetensorsFile(InputFile(path), max_header_bytes) {}

  const std::filesystem::path& path() const { return file_.path(); }
  /// By name, in the order of bytes.
  const TensorEntries& entries() const { return header_.tensors; }
  const Metadata& metadata() const { return header_.metadata; }
  const std::vector<std::string>& warnings() const { return header_.warnings; }
  /// Null if there is no such tensor.
  const TensorEntry* find(std::string_view name) const;
  uint64_t data_bytes() const { return file_.size() - data_start_; }

  /// The tensor in new host memory. not_found for an unknown name; corrupt_file if the file shrank
  /// or a BOOL is neither 0 nor 1; cancelled between two blocks of a large tensor.
  Tensor read(std::string_view name, const CancelToken& cancel = {}) const;

 private:
  InputFile file_;
  SafetensorsHeader header_;
  uint64_t data_start_ = 0;
};

}  // namespace fluxq
