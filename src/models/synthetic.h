/// The weights of a synthetic model: a formula in place of files, the same on every device.
///
/// Element i of tensor "part.name" is offset + spread * z_i, rounded to bf16, where z is the
/// generator of kernels/random.h under the key that the first 16 hexadecimal digits of
/// SHA-256("part.name") are. Offset and spread keep activations as large as in a trained model:
/// every layer has unit gain, norms are near 1, modulation is small enough for residual streams to
/// stay flat through all blocks. tools/synthetic.py is the same for torch.
#pragma once

#include <map>

#include "checkpoint/tensor_source.h"
#include "models/weights.h"

namespace fluxq {

/// Another number whenever any value changes.
inline constexpr int kSyntheticGenerator = 1;

/// `tensor`: "part.name".
RandomValues synthetic_values(std::string_view tensor, const Shape& shape);

/// One part of a synthetic model: the tensors that a plan asks for, in bf16.
class SyntheticTensors final : public TensorSource {
 public:
  /// `path`: the part's folder, for errors; `part`: "transformer".
  SyntheticTensors(std::filesystem::path path, const std::string& part, const WeightPlan& plan);

  const std::filesystem::path& path() const override { return path_; }
  std::vector<std::string> names() const override;
  const TensorEntry* find(std::string_view name) const override;
  Tensor read(std::string_view name, const CancelToken& cancel = {}) const override;
  std::optional<RandomValues> random_values(std::string_view name) const override;
  const Metadata& metadata() const override { return metadata_; }
  std::vector<std::filesystem::path> files() const override { return {}; }
  const std::vector<std::string>& warnings() const override { return warnings_; }

  /// A line of text for each tensor: what its values depend on.
  std::string description() const;

 private:
  struct Formula {
    TensorEntry entry;
    RandomValues values;
  };
  const Formula& formula(std::string_view name) const;

  std::filesystem::path path_;
  std::map<std::string, Formula, std::less<>> tensors_;
  Metadata metadata_;
  std::vector<std::string> warnings_;
};

}  // namespace fluxq
