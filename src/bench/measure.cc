#include "bench/measure.h"

#include <algorithm>
#include <numeric>

#include "base/host_memory.h"
#include "bench/device_state.h"
#include "bench/run_cost.h"

namespace fluxq {

void PhasePeaks::begin(std::string_view phase, int64_t total) {
  is_run_ = phase == "generate";
  total_ = total;
  enter(is_run_ ? "text" : phase == "load transformer" ? "quantize" : "load");
  next_.begin(phase, total);
}

void PhasePeaks::update(int64_t done) {
  if (is_run_ && done == 1) enter("denoise");
  if (is_run_ && done == total_ - 1) enter("decode");
  if (is_run_ && done == total_) enter("");
  next_.update(done);
}

void PhasePeaks::enter(std::string_view phase) {
  if (!phase_.empty()) {
    auto peak = std::find_if(peaks_.begin(), peaks_.end(),
                             [&](const PhaseMemory& known) { return known.phase == phase_; });
    if (peak == peaks_.end())
      peak = peaks_.insert(peaks_.end(),
                           {.phase = phase_, .host_peak_bytes = 0, .device_peak_bytes = {}});
    peak->host_peak_bytes = std::max(peak->host_peak_bytes, peak_memory_bytes());
    if (const std::optional<int64_t> device = kernels_.take_peak_bytes())
      peak->device_peak_bytes = std::max(peak->device_peak_bytes.value_or(0), *device);
  } else {
    kernels_.take_peak_bytes();
  }
  reset_peak_memory();
  phase_ = phase;
}

std::vector<PhaseMemory> PhasePeaks::take() {
  enter("");
  return std::exchange(peaks_, {});
}

Cell measure_cell(TextToImage& pipeline, Kernels& kernels, const Plan& plan, const CellKey& key,
                  const Loaded& loaded, int threads, Progress& progress,
                  const CancelToken& cancel) {
  Request request{.prompt = plan.prompts.front(),
                  .seeds = {},
                  .steps = plan.steps,
                  .width = key.width,
                  .height = key.height,
                  .guidance = plan.guidance,
                  .max_text_tokens = plan.max_text_tokens};
  for (int i = 0; i < key.batch; ++i)
    request.seeds.push_back(plan.seeds.front() + static_cast<uint64_t>(i));

  Cell cell;
  cell.key = key;
  cell.status = CellStatus::done;
  cell.load_ms = loaded.load_ms;
  cell.quantize_ms = pipeline.quantize_ms();
  cell.memory = loaded.memory;
  cell.part_bytes = pipeline.part_bytes();
  const RunCost cost = run_cost(pipeline.model(), plan, key);
  cell.flops = cost.flops();
  cell.weight_bytes_read = weight_bytes_read(pipeline, cost);

  cell.before = read_device_state(kernels.device());
  PhasePeaks peaks(kernels, progress);
  cell.cold_ms = pipeline.run(request, peaks, cancel).times.total_ms;
  for (PhaseMemory& phase : peaks.take()) cell.memory.push_back(std::move(phase));
  for (; cell.warmups < plan.warmups; ++cell.warmups) pipeline.run(request, progress, cancel);
  for (int i = 0; i < plan.repeats; ++i) {
    const StageTimes times = pipeline.run(request, progress, cancel).times;
    cell.text_ms.push_back(times.text_ms);
    cell.denoise_ms.push_back(
        std::accumulate(times.step_ms.begin(), times.step_ms.end(), times.condition_ms));
    cell.vae_ms.push_back(times.vae_ms);
    cell.total_ms.push_back(times.total_ms);
    cell.step_ms.insert(cell.step_ms.end(), times.step_ms.begin(), times.step_ms.end());
  }
  cell.after = read_device_state(kernels.device());
  cell.notes = notes_on(cell.before, cell.after, threads);
  return cell;
}

}  // namespace fluxq
