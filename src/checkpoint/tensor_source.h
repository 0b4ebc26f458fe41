/// The tensors of one part of a model (transformer/, vae/, ...) by name, wherever they come from:
/// files (TensorStore) or a formula (models/synthetic.h).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors_header.h"
#include "fluxq/cancel.h"

namespace fluxq {

/// The values of a tensor that is computed, not stored: the arguments of Kernels::fill_random, so
/// that a device fills it where it is needed.
struct RandomValues {
  uint64_t key = 0;
  float offset = 0, spread = 0;
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// The part's folder, or its file: what errors name.
  virtual const std::filesystem::path& path() const = 0;
  /// Sorted by bytes.
  virtual std::vector<std::string> names() const = 0;
  /// Null if there is no such tensor.
  virtual const TensorEntry* find(std::string_view name) const = 0;
  /// The tensor on the host, as it is stored. Error(not_found); errors of reading; cancelled.
  virtual Tensor read(std::string_view name, const CancelToken& cancel = {}) const = 0;
  /// Nothing for tensors that are stored.
  virtual std::optional<RandomValues> random_values(std::string_view /*name*/) const {
    return std::nullopt;
  }

  /// `__metadata__` of the first file.
  virtual const Metadata& metadata() const = 0;
  virtual std::vector<std::filesystem::path> files() const = 0;
  /// What did not stop the opening: full sentences.
  virtual const std::vector<std::string>& warnings() const = 0;
};

}  // namespace fluxq
