/// What a model folder or a safetensors file is, from configs and headers alone: no weights are
/// read.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "fluxq/progress.h"

namespace fluxq {

/// The tensors of one part or file.
struct TensorSummary {
  std::string name;                ///< "transformer", or the file's name
  std::vector<std::string> files;  ///< names without folders
  int64_t tensors = 0;
  int64_t parameters = 0;  ///< elements of all tensors
  int64_t bytes = 0;
  std::map<std::string, int64_t> dtypes;                   ///< dtype name to parameters
  std::string scheme;                                      ///< of a quantized part, else empty
  std::vector<std::pair<std::string, std::string>> facts;  ///< "double blocks": "19"
};

struct Inspection {
  std::string kind;  ///< "model" or "safetensors"
  std::string path, name, variant, layout;
  std::vector<TensorSummary> parts;
  std::map<std::string, std::string> metadata;  ///< of a safetensors file
  std::vector<std::pair<std::string, std::string>>
      defaults;  ///< steps, guidance, size, text tokens
};

/// Errors: those of reading a model folder or a safetensors file.
Inspection inspect_model(const std::filesystem::path& folder, Progress& progress);
Inspection inspect_safetensors(const std::filesystem::path& file, Progress& progress);

Json to_json(const Inspection& inspection);

}  // namespace fluxq
