/// From what a run measured to what can be said about it. Every figure that is compared has a 95 %
/// interval; nothing here is text, and nothing is read but Results.
///
/// The baseline is scheme "bf16" at the same batch and size. Where its cell or a picture is missing
/// or failed, what is relative to it is absent, never guessed.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/results.h"
#include "metrics/statistics.h"

namespace fluxq::report {

inline constexpr std::string_view kBaseline = "bf16";
/// The scheme of the second noise floor (see NoiseFloor).
inline constexpr std::string_view kSecondBaseline = "bf16-second";

/// Of samples: the median and the range of the middle half.
struct Summary {
  int64_t count = 0;
  double median = 0;
  Interval middle = {0, 0};
};

/// A figure and how well it is known. No interval from fewer than 2 samples.
struct Estimate {
  double value = 0;
  std::optional<Interval> interval;
  int64_t count = 0;
};

/// An achieved rate per second. The share is of the ceiling that the run measured.
struct Rate {
  double value = 0;
  std::optional<double> share;  ///< 0..1
  std::string ceiling;          ///< "bf16": whose ceiling; empty without one
};

/// Peaks over phases: of the device where the cell has one, else of the host.
struct MemoryUse {
  bool on_device = false;
  int64_t peak_bytes = 0;     ///< of all phases: what the machine must have
  int64_t serving_bytes = 0;  ///< of text, denoise and decode: while pictures are made
  int64_t host_peak_bytes = 0;
  int64_t weight_bytes = 0;               ///< resident, all parts
  std::optional<double> saved_percent;    ///< of peak_bytes, against the baseline's; may be < 0
  std::optional<double> serving_percent;  ///< the same of serving_bytes
};

struct CellSummary {
  const Cell* cell = nullptr;  ///< in the Results that were analysed
  bool is_baseline = false;
  // Nothing unless the cell is done and has samples.
  std::optional<Summary> total, text, denoise, vae, step;
  std::optional<double> per_picture_ms, pictures_per_second;  ///< from the median of total
  /// Total time over the baseline's (the ratio of the medians): below 1 is faster. Pairs are
  /// repeats. Nothing for the baseline itself.
  std::optional<Comparison> time_ratio;
  std::optional<Rate> flops, bandwidth;
  std::optional<MemoryUse> memory;
};

/// 1 / ratio: 2 is twice as fast.
Estimate speedup(const Comparison& time_ratio);
/// 100 x (1 - ratio), in percent of the baseline's time: 50 is twice as fast.
Estimate latency_reduction(const Comparison& time_ratio);

/// Of one scheme's pictures against the baseline's from the same noise. Means leave out flagged
/// pictures; the mean PSNR also leaves out identical pictures, whose PSNR is infinite.
struct SchemeQuality {
  std::string scheme;
  int64_t pictures = 0;  ///< drawn
  int64_t flagged = 0;   ///< NaN, black or constant
  int64_t has_nan = 0, black = 0, constant = 0;
  int64_t newly_flagged = 0;  ///< flagged where the baseline's picture is not
  int64_t identical = 0;
  std::optional<Estimate> psnr_db, ssim, flip;
  std::optional<Estimate> loss_percent;  ///< 100 x mean FLIP
  /// FLIP less that of the noise floor, picture by picture. Nothing without a noise floor.
  std::optional<Comparison> above_floor;
  std::vector<Estimate> drift;  ///< mean per step; steps that all pictures have
};

enum class QualityState {
  measured,
  not_applicable,  ///< synthetic weights: pictures mean nothing
  not_measured,    ///< no picture has been compared
};

struct Analysis {
  const Results* results = nullptr;  ///< must outlive this
  std::vector<CellSummary> cells;    ///< as in Results
  QualityState quality_state = QualityState::not_measured;
  std::vector<SchemeQuality> quality;  ///< in the plan's order, without the baseline
  std::optional<SchemeQuality> noise_floor, seed_change;

  const CellSummary* find(const CellKey& key) const;
  const SchemeQuality* find_quality(std::string_view scheme) const;
};

Analysis analyse(const Results& results);

/// Times of `candidate` over those of `reference`, repeat by repeat, as CellSummary::time_ratio;
/// per picture, so that batches may differ. Nothing unless both are done and have samples.
std::optional<Comparison> compare_times(const Cell& candidate, const Cell& reference);

/// Mean FLIP of `candidate` less that of `reference`, over the prompts and seeds that both have.
Comparison compare_quality(const Results& results, std::string_view candidate,
                           std::string_view reference);

/// The kind of arithmetic that a scheme's matrix products run in, as Environment::ceiling_flops
/// names it: "s8", "s8 2:4", "fp8", "f32" or "bf16".
std::string_view arithmetic_of(std::string_view scheme);

/// Values that are finite and positive, in order.
std::vector<double> sound(const std::vector<double>& samples);

}  // namespace fluxq::report
