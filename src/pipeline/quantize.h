/// `fluxq quantize`: a diffusers folder becomes another one whose weights are packed, in torchao's
/// form where it has one (quant/torchao_format.h).
///
/// One layer is in memory at a time. The new folder appears complete under its name or not at all;
/// the old one is only read.
#pragma once

#include <filesystem>
#include <vector>

#include "checkpoint/writer.h"
#include "models/weights.h"
#include "pipeline/model_folder.h"

namespace fluxq {

struct QuantizeResult {
  std::vector<LayerCoverage> layers;  ///< of the parts that were packed; no kernels, no residence
  std::vector<std::string> parts;     ///< that were packed: "transformer"
  int64_t input_bytes = 0;            ///< weight files of those parts, before
  int64_t output_bytes = 0;           ///< and after
};

/// Writes `output`: parts in which `recipe` packs a layer are rewritten shard by shard, all else
/// that a pipeline needs is copied. Errors: bad_argument if output exists or lies in the model, if
/// the model is packed already, if the recipe packs nothing or has a pattern that matches nothing;
/// disk_full before a byte is written, or later with nothing left behind; numeric for weights with
/// NaN or Inf; cancelled; those of the readers.
QuantizeResult quantize_folder(const ModelFolder& model, const Recipe& recipe,
                               const std::filesystem::path& output, Progress& progress,
                               const CancelToken& cancel,
                               uint64_t max_shard_bytes = PartWriter::kDefaultShardBytes);

}  // namespace fluxq
