/// `generate --dump`: the stages of a run as one safetensors file, the contract of tests and
/// outside checkers.
#pragma once

#include <filesystem>
#include <utility>
#include <vector>

#include "pipeline/text_to_image.h"

namespace fluxq {

class StageDump final : public StageObserver {
 public:
  void stage(std::string_view name, const Tensor& values) override {
    stages_.emplace_back(name, values);
  }
  /// Writes `folder`/stages.safetensors; the folder is made if its parent exists.
  void save(const std::filesystem::path& folder) const;

 private:
  std::vector<std::pair<std::string, Tensor>> stages_;
};

}  // namespace fluxq
