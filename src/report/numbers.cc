#include "report/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace fluxq::report {
namespace {

struct Scale {
  double divisor;
  std::string_view symbol;
};

// The largest unit in which the smallest value is at least 1, or at least 0.05 if the largest is at
// least 10. The smallest value has four significant digits, or three where the values differ
// a hundredfold.
Unit pick(std::span<const double> values, std::span<const Scale> scales) {
  double least = 0, most = 0;
  for (const double value : values) {
    if (!std::isfinite(value) || !(value > 0)) continue;
    least = least == 0 ? value : std::min(least, value);
    most = std::max(most, value);
  }
  Scale chosen = scales.front();
  for (const Scale& scale : scales)
    if (least >= scale.divisor || (most >= 10 * scale.divisor && least >= 0.05 * scale.divisor))
      chosen = scale;
  const double shown = least / chosen.divisor;
  const int before_point = shown >= 1 ? static_cast<int>(std::floor(std::log10(shown))) + 1 : 1;
  const int digits = most >= 100 * least ? 3 : 4;
  return {chosen.divisor, std::clamp(digits - before_point, 0, 3), chosen.symbol};
}

std::string one(double value, const Unit& unit) { return unit.show(value); }

}  // namespace

std::string fixed(double value, int decimals) {
  if (std::isnan(value)) return "not a number";
  if (std::isinf(value)) return value > 0 ? "infinite" : "minus infinite";
  std::string text = fmt::format("{:.{}f}", std::abs(value), decimals);
  const bool is_zero = text.find_first_not_of("0.") == std::string::npos;
  return value < 0 && !is_zero ? "−" + text : text;
}

std::string range(const Interval& interval, int decimals) {
  return fixed(interval.lo, decimals) + " to " + fixed(interval.hi, decimals);
}

std::string Unit::show(double value) const {
  return fmt::format("{} {}", fixed(value / divisor, decimals), symbol);
}

std::string Unit::show(const Interval& interval) const {
  return range({interval.lo / divisor, interval.hi / divisor}, decimals);
}

Unit time_unit(std::span<const double> values_ms) {
  static constexpr std::array kScales = {Scale{1, "ms"}, Scale{1000, "s"}};
  return pick(values_ms, kScales);
}

Unit byte_unit(std::span<const double> values_bytes) {
  static constexpr std::array kScales = {Scale{1e3, "kB"}, Scale{1e6, "MB"}, Scale{1e9, "GB"}};
  return pick(values_bytes, kScales);
}

Unit flop_unit(std::span<const double> values) {
  static constexpr std::array kScales = {Scale{1e9, "GFLOP"}, Scale{1e12, "TFLOP"}};
  return pick(values, kScales);
}

Unit flops_unit(std::span<const double> values_per_second) {
  static constexpr std::array kScales = {Scale{1e9, "GFLOP/s"}, Scale{1e12, "TFLOP/s"}};
  return pick(values_per_second, kScales);
}

std::string show_time(double ms) { return one(ms, time_unit({&ms, 1})); }

std::string show_bytes(double bytes) { return one(bytes, byte_unit({&bytes, 1})); }

std::string show_times(double factor, int decimals) { return fixed(factor, decimals) + "×"; }

std::string show_percent(double percent, int decimals) { return fixed(percent, decimals) + " %"; }

std::string count_of(int64_t count, std::string_view singular) {
  return fmt::format("{} {}{}", count, singular, count == 1 ? "" : "s");
}

}  // namespace fluxq::report
