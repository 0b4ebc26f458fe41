/// From samples to statements. A difference between two schemes is only claimed when a paired 95 %
/// interval says so.
///
/// The interval is a percentile bootstrap of the mean or median, with two corrections, both towards
/// more caution:
/// - widened about the estimate by sqrt(n / (n - 1)) * t(0.975, n - 1) / 1.96, since with few
///   samples the plain one is too narrow (it holds the truth in 74 % of cases for n = 3, 88 % for
///   n = 8; Hesterberg, "What teachers should know about the bootstrap", 2015);
/// - each side at least as far from the estimate as the 95 % quantile of |resampled - estimate|,
///   since one huge outlier pulls the percentiles to its own side.
/// Simulated (1500 trials each, n = 3 to 48), the interval holds the truth in 94 to 99 % of cases
/// for normal, uniform, t(3) and Cauchy samples and for normal ones with outliers; the mean of
/// skewed samples is harder: exponential 88 to 94 %, lognormal 83 to 91 %. n = 2: 87 to 96 %.
///
/// All functions: Error(numeric) naming the index for a value that is not finite.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace fluxq {

struct Interval {
  double lo, hi;
};

// bad_argument if there are no values.

double mean(std::span<const double> values);
double median(std::span<const double> values);
/// Between the two nearest values, linearly (numpy's default), for `q` in 0..1 (else bad_argument).
double quantile(std::span<const double> values, double q);
/// The quantiles 0.25 and 0.75.
Interval interquartile_range(std::span<const double> values);

enum class Center { mean, median };

/// Fixed, so that a report of the same run has the same bytes.
struct BootstrapOptions {
  int resamples = 10000;
  uint64_t seed = 1;
};

/// The 95 % interval of the centre, as described above; nothing for fewer than 2 values.
std::optional<Interval> bootstrap_interval(std::span<const double> values, Center center,
                                           const BootstrapOptions& options = {});

enum class Verdict { better, worse, not_distinguishable };

/// "better", "worse", "not distinguishable".
std::string_view to_string(Verdict verdict);

enum class Scale { difference, ratio };
enum class Goal { lower, higher };

struct Comparison {
  int64_t pairs = 0;
  /// Candidate minus baseline (the centre of the pairs' differences), or candidate over baseline
  /// (the centre of the pairs' log ratios, as ratio again). Nothing without pairs.
  std::optional<double> effect;
  std::optional<Interval> interval;  ///< of the effect; nothing for fewer than 2 pairs
  /// better or worse only if the interval excludes "no effect" (0 or 1).
  Verdict verdict = Verdict::not_distinguishable;
};

/// Sample i of both must come from the same prompt and noise (or the same repeat). Means suit
/// quality, medians of ratios suit times, which have outliers. bad_argument: unequal lengths, or
/// values that are not positive where a ratio is asked for.
Comparison compare_paired(std::span<const double> candidate, std::span<const double> baseline,
                          Scale scale, Center center, Goal goal,
                          const BootstrapOptions& options = {});

/// The ratio of the two medians, what a reader gets who divides two medians of a table; resampled
/// in pairs. Suits times of two schemes. Errors as compare_paired with Scale::ratio.
Comparison compare_medians(std::span<const double> candidate, std::span<const double> baseline,
                           Goal goal, const BootstrapOptions& options = {});

}  // namespace fluxq
