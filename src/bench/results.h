/// What a benchmark run knows, as plain data: bench/ measures and stores it, report/ reads it.
/// Times are milliseconds of wall clock (monotonic), memory is bytes, all samples are kept; medians
/// and intervals are computed when shown.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace fluxq {

/// What defines one cell of the matrix.
struct CellKey {
  std::string scheme;
  int batch = 1;
  int width = 0, height = 0;  ///< pixels
  auto operator<=>(const CellKey&) const = default;
};

enum class CellStatus { pending, running, done, failed };

/// The device around a cell. What could not be read is absent.
struct DeviceState {
  std::optional<double> clock_mhz, memory_clock_mhz, temperature_c, power_w;
  std::optional<int> other_processes;  ///< on the GPU
  std::optional<double> load_average;  ///< of the host, 1 minute
};

/// Peaks of one phase: load, quantize, text, denoise, decode.
struct PhaseMemory {
  std::string phase;
  int64_t host_peak_bytes = 0;
  std::optional<int64_t> device_peak_bytes;  ///< absent on the CPU
};

/// One cell: a scheme at a batch and a size.
struct Cell {
  CellKey key;
  CellStatus status = CellStatus::pending;
  std::string failure_code;  ///< "out_of_memory_device", of a failed cell; see fluxq/error.h, and
                             ///< "watchdog", "crashed"
  std::string failure;       ///< its sentence
  int attempts = 0;
  int warmups = 0;         ///< runs before the samples
  double load_ms = 0;      ///< process start to ready: read, quantize, arrange
  double quantize_ms = 0;  ///< the part of load_ms spent in packing weights
  double cold_ms = 0;      ///< the first run of this cell in its process, not among the samples
  // One entry per repeat; a run makes `batch` pictures of one prompt.
  std::vector<double> text_ms, denoise_ms, vae_ms, total_ms;
  std::vector<double> step_ms;  ///< all steps of all repeats
  std::vector<PhaseMemory> memory;
  std::map<std::string, int64_t>
      part_bytes;    ///< resident weights: transformer, text_encoder, text_encoder_2, vae
  double flops = 0;  ///< of one run: linear, attention and convolution, multiply-add = 2
  double weight_bytes_read = 0;  ///< of one run: resident weights x the times each is read
  DeviceState before, after;
  std::vector<std::string> notes;  ///< "clocks fell from 1980 to 1410 MHz"
};

/// One picture of the quality part: every scheme draws every prompt with every seed from the same
/// noise.
struct PictureResult {
  std::string scheme;
  int prompt = 0;  ///< index into Results::prompts
  uint64_t seed = 0;
  int width = 0, height = 0;
  std::string file;    ///< relative to the run's folder; empty when no picture came out (NaN)
  std::string sha256;  ///< of that file
  bool has_nan = false, black = false,
       constant = false;  ///< flagged pictures stay out of means and are counted
  // Against the reference's picture from the same noise; absent for the reference itself and for
  // flagged pictures.
  std::optional<double> psnr_db;  ///< +infinity for identical pictures
  std::optional<double> ssim, flip;
  std::vector<double> latent_drift;  ///< per step, relative L2 against the reference's latents
};

/// What quality is measured against, and what the figures mean beside it.
enum class NoiseFloor {
  f32_run,  ///< bf16 against the f32 run from the same noise: scheme "f32" is among the pictures
  second_kernels,  ///< bf16 against bf16 through a second valid kernel set: pictures of scheme
                   ///< "bf16-second"
  none,
};

/// One attempt that ended badly.
struct Failure {
  CellKey key;
  int attempt = 0;
  std::string code, sentence, time;  ///< time: ISO 8601, UTC
};

/// A change accepted with --accept-changes.
struct AcceptedChange {
  std::string what, before, after, time;
};

/// The machine and the program.
struct Environment {
  std::string fluxq_version, binary_sha256, build;
  std::string model_name, weights_sha256, variant;  ///< variant: "schnell" or "dev"
  bool synthetic = false;                           ///< random weights: quality is not applicable
  std::string device;                               ///< "cpu" or "cuda"
  std::string device_name;                          ///< processor or GPU, as it calls itself
  std::string driver, cuda;                         ///< empty on the CPU
  std::string kernel, os;
  std::string isa;  ///< "avx512_core_bf16"
  int threads = 0;
  int64_t host_memory_bytes = 0;
  std::optional<int64_t> device_memory_bytes;
  // Measured once at the start of the run, the best of several: the ceilings that shares refer to.
  // bench/ceiling.h says what they are.
  std::map<std::string, double> ceiling_flops;  ///< "f32", "bf16", "s8", "s8 2:4", "fp8"
  double ceiling_bytes = 0;
  std::string started;  ///< ISO 8601, UTC
};

/// The plan as it was resolved: nothing left open.
struct Plan {
  std::string model;                 ///< a folder or a name that find_model() knows
  std::vector<std::string> schemes;  ///< bf16 first
  std::vector<int> batches;
  std::vector<std::pair<int, int>> sizes;  ///< width, height
  int steps = 0;
  double guidance = 0;
  int max_text_tokens = 0;
  std::vector<std::string> prompts;
  std::vector<uint64_t> seeds;
  int warmups = 1, repeats = 5;
  std::string recipe = {};  ///< a file, for the schemes that quantize; empty: the default recipe
  std::string attention = "bf16";  ///< for the schemes that quantize: EngineOptions::attention
};

/// The cells of a plan, in its order: scheme by scheme, size by size, batch by batch.
std::vector<CellKey> cells_of(const Plan& plan);

struct Results {
  Environment environment;
  Plan plan;
  NoiseFloor noise_floor = NoiseFloor::none;
  std::vector<Cell> cells;              ///< in the plan's order
  std::vector<PictureResult> pictures;  ///< in the plan's order
  /// bf16 with another seed against bf16 (prompt by prompt): what a seed changes.
  std::vector<PictureResult> seed_change;
  std::vector<Failure> failures;
  std::vector<AcceptedChange> accepted_changes;
};

}  // namespace fluxq
