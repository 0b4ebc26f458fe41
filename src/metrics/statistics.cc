#include "metrics/statistics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "base/error.h"

namespace fluxq {
namespace {

void check_finite(std::span<const double> values, std::string_view what) {
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      fail(ErrorCode::numeric, "{}: expected finite samples, got {} at index {}", what, values[i],
           i);
}

void check_some(std::span<const double> values, std::string_view what) {
  if (values.empty()) fail(ErrorCode::bad_argument, "{}: expected samples, got none", what);
  check_finite(values, what);
}

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// Of finite values in order.
double sorted_quantile(std::span<const double> sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double fraction = position - static_cast<double>(below);
  return sorted[below] + fraction * (sorted[above] - sorted[below]);
}

// Reorders `values`, which is cheaper than sorting them.
double median_of(std::span<double> values) {
  const auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  const double below = *std::max_element(values.begin(), middle);
  return below + 0.5 * (*middle - below);
}

double center_of(std::span<double> values, Center center) {
  return center == Center::mean ? mean_of(values) : median_of(values);
}

constexpr double kNormalQuantile = 1.959963984540054;  // 97.5 %

// The 97.5 % quantile of Student's t. Fisher's expansion in 1 / freedom (Abramowitz and Stegun
// 26.7.5) errs by 0.1 % at 3 degrees of freedom and less above.
double t_quantile(double freedom) {
  if (freedom < 2) return 12.706204736432095;
  if (freedom < 3) return 4.302652729911275;
  const double z = kNormalQuantile, z2 = z * z, v = freedom;
  const double g1 = z * (z2 + 1) / 4;
  const double g2 = z * ((5 * z2 + 16) * z2 + 3) / 96;
  const double g3 = z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384;
  const double g4 = z * ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) / 92160;
  return z + (g1 + (g2 + (g3 + g4 / v) / v) / v) / v;
}

// Takes the centre, or another statistic, of the samples whose indices it is given.
using Statistic = std::function<double(std::span<const size_t>)>;

// Of `count` indices drawn with replacement, in order.
std::vector<double> resampled_statistics(size_t count, const Statistic& statistic,
                                         const BootstrapOptions& options) {
  std::mt19937_64 random(options.seed);  // fully specified by the standard, unlike distributions
  std::vector<size_t> sample(count);
  std::vector<double> results(static_cast<size_t>(options.resamples));
  for (double& result : results) {
    for (size_t& index : sample)
      index = static_cast<size_t>((static_cast<unsigned __int128>(random()) * count) >> 64);
    result = statistic(sample);
  }
  std::sort(results.begin(), results.end());
  return results;
}

// Of at least 2 samples.
Interval interval_of(size_t count, double estimate, const Statistic& statistic,
                     const BootstrapOptions& options) {
  const std::vector<double> results = resampled_statistics(count, statistic, options);
  std::vector<double> distances(results);
  for (double& distance : distances) distance = std::abs(distance - estimate);
  std::sort(distances.begin(), distances.end());
  const double least_reach = sorted_quantile(distances, 0.95);
  const double n = static_cast<double>(count);
  const double widening = std::sqrt(n / (n - 1)) * t_quantile(n - 1) / kNormalQuantile;
  const double below = std::max(estimate - sorted_quantile(results, 0.025), least_reach);
  const double above = std::max(sorted_quantile(results, 0.975) - estimate, least_reach);
  return {estimate - widening * below, estimate + widening * above};
}

// The samples at `indices`, in a buffer that lives as long as the returned function.
auto gather(std::span<const double> values) {
  return [values, drawn = std::vector<double>(values.size())](
             std::span<const size_t> indices) mutable -> std::span<double> {
    for (size_t i = 0; i < indices.size(); ++i) drawn[i] = values[indices[i]];
    return drawn;
  };
}

void check_pairs(std::span<const double> candidate, std::span<const double> baseline) {
  if (candidate.size() != baseline.size())
    fail(ErrorCode::bad_argument,
         "comparison: expected as many candidates as baselines, got {} and {}", candidate.size(),
         baseline.size());
  check_finite(candidate, "comparison, candidate");
  check_finite(baseline, "comparison, baseline");
}

void check_positive(std::span<const double> candidate, std::span<const double> baseline) {
  for (size_t i = 0; i < candidate.size(); ++i)
    if (!(candidate[i] > 0 && baseline[i] > 0))
      fail(ErrorCode::bad_argument,
           "comparison: a ratio needs positive samples, got {} and {} at index {}", candidate[i],
           baseline[i], i);
}

// `interval` is that of an effect where 0 means none.
Verdict verdict_of(const Interval& interval, Goal goal) {
  if (interval.lo > 0) return goal == Goal::higher ? Verdict::better : Verdict::worse;
  if (interval.hi < 0) return goal == Goal::lower ? Verdict::better : Verdict::worse;
  return Verdict::not_distinguishable;
}

}  // namespace

double mean(std::span<const double> values) {
  check_some(values, "mean");
  return mean_of(values);
}

double median(std::span<const double> values) {
  check_some(values, "median");
  std::vector<double> copy(values.begin(), values.end());
  return median_of(copy);
}

double quantile(std::span<const double> values, double q) {
  check_some(values, "quantile");
  if (!(q >= 0 && q <= 1))
    fail(ErrorCode::bad_argument, "quantile: expected a share of 0 to 1, got {}", q);
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted_quantile(sorted, q);
}

Interval interquartile_range(std::span<const double> values) {
  return {quantile(values, 0.25), quantile(values, 0.75)};
}

std::optional<Interval> bootstrap_interval(std::span<const double> values, Center center,
                                           const BootstrapOptions& options) {
  check_finite(values, "bootstrap");
  if (options.resamples < 100)
    fail(ErrorCode::bad_argument, "bootstrap: expected at least 100 resamples, got {}",
         options.resamples);
  if (values.size() < 2) return std::nullopt;
  std::vector<double> copy(values.begin(), values.end());
  const Statistic statistic = [center, draw = gather(values)](auto indices) mutable {
    return center_of(draw(indices), center);
  };
  return interval_of(values.size(), center_of(copy, center), statistic, options);
}

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::better:
      return "better";
    case Verdict::worse:
      return "worse";
    case Verdict::not_distinguishable:
      break;
  }
  return "not distinguishable";
}

Comparison compare_paired(std::span<const double> candidate, std::span<const double> baseline,
                          Scale scale, Center center, Goal goal, const BootstrapOptions& options) {
  check_pairs(candidate, baseline);
  const bool is_ratio = scale == Scale::ratio;
  if (is_ratio) check_positive(candidate, baseline);
  std::vector<double> effects;  // per pair; 0 is no effect
  for (size_t i = 0; i < candidate.size(); ++i)
    effects.push_back(is_ratio ? std::log(candidate[i]) - std::log(baseline[i])
                               : candidate[i] - baseline[i]);

  Comparison result;
  result.pairs = static_cast<int64_t>(effects.size());
  if (effects.empty()) return result;
  const auto shown = [&](double effect) { return is_ratio ? std::exp(effect) : effect; };
  result.effect = shown(center == Center::mean ? mean(effects) : median(effects));
  const std::optional<Interval> interval = bootstrap_interval(effects, center, options);
  if (!interval) return result;
  result.interval = {shown(interval->lo), shown(interval->hi)};
  result.verdict = verdict_of(*interval, goal);
  return result;
}

Comparison compare_medians(std::span<const double> candidate, std::span<const double> baseline,
                           Goal goal, const BootstrapOptions& options) {
  check_pairs(candidate, baseline);
  check_positive(candidate, baseline);
  Comparison result;
  result.pairs = static_cast<int64_t>(candidate.size());
  if (candidate.empty()) return result;
  result.effect = median(candidate) / median(baseline);
  if (candidate.size() < 2) return result;
  const Statistic statistic = [a = gather(candidate), b = gather(baseline)](auto indices) mutable {
    return std::log(median_of(a(indices)) / median_of(b(indices)));
  };
  const Interval interval =
      interval_of(candidate.size(), std::log(*result.effect), statistic, options);
  result.interval = {std::exp(interval.lo), std::exp(interval.hi)};
  result.verdict = verdict_of(interval, goal);
  return result;
}

}  // namespace fluxq
