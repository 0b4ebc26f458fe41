/// Numbers as a reader meets them: fixed decimals, one unit per column, a real minus sign.
/// What is not finite reads "not a number" or "infinite", never as a figure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "metrics/statistics.h"

namespace fluxq::report {

/// "2.966", "−0.50".
std::string fixed(double value, int decimals);

/// "2.15 to 2.19".
std::string range(const Interval& interval, int decimals);

/// How a column of values of one kind is shown, so that its figures can be compared by eye.
struct Unit {
  double divisor = 1;
  int decimals = 0;
  std::string_view symbol;

  /// "2.966 s"
  std::string show(double value) const;
  /// "2.961 to 2.972", without the unit: it stands beside the value.
  std::string show(const Interval& interval) const;
};

// The smallest value (not counting what is 0 or not finite) keeps three or four significant digits.

/// ms or s, for milliseconds.
Unit time_unit(std::span<const double> values_ms);
/// kB, MB or GB (powers of 1000), for bytes.
Unit byte_unit(std::span<const double> values_bytes);
/// GFLOP or TFLOP.
Unit flop_unit(std::span<const double> values);
/// GFLOP/s or TFLOP/s.
Unit flops_unit(std::span<const double> values_per_second);

// The same for one value.
std::string show_time(double ms);
std::string show_bytes(double bytes);
/// "2.17×"
std::string show_times(double factor, int decimals = 2);
/// "53.9 %"
std::string show_percent(double percent, int decimals = 1);

/// "1 picture", "2 pictures".
std::string count_of(int64_t count, std::string_view singular);

}  // namespace fluxq::report
