/// One cell, measured: the worker's side of the performance matrix.
#pragma once

#include "bench/results.h"
#include "pipeline/text_to_image.h"

namespace fluxq {

/// Follows the phases of loading and of runs, keeps the peak of memory of each, and passes
/// everything on. While weights load, tensors are read and packed in turn: "quantize" is the
/// loading of the transformer, whose layers the scheme packs, "load" that of the other parts.
class PhasePeaks final : public Progress {
 public:
  PhasePeaks(Kernels& kernels, Progress& next) : kernels_(kernels), next_(next) {}

  void begin(std::string_view phase, int64_t total) override;
  void update(int64_t done) override;
  void warn(std::string_view sentence) override { next_.warn(sentence); }

  /// The phases since the last call, in the order of their first appearance.
  std::vector<PhaseMemory> take();

 private:
  void enter(std::string_view phase);  // closes the current one; empty: none

  Kernels& kernels_;
  Progress& next_;
  std::string phase_;
  int64_t total_ = 0;  // of a run: text, each step, decoding
  bool is_run_ = false;
  std::vector<PhaseMemory> peaks_;
};

/// What a worker knows of its loaded model.
struct Loaded {
  double load_ms = 0;
  std::vector<PhaseMemory> memory;
};

/// A cold run, the warm-ups, and the repeats, of the plan's first prompt with its first seed and
/// those after it. Peaks of memory are those of the cold run. Errors as TextToImage::run.
Cell measure_cell(TextToImage& pipeline, Kernels& kernels, const Plan& plan, const CellKey& key,
                  const Loaded& loaded, int threads, Progress& progress, const CancelToken& cancel);

}  // namespace fluxq
