#include "report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace fluxq::report {
namespace {

// 1, 2, 5 times powers of ten within [lo, hi]; only powers of ten over more than three decades.
std::vector<double> log_ticks(double lo, double hi) {
  std::vector<double> ticks;
  const bool sparse = std::log10(hi / lo) > 3;
  for (double power = std::pow(10, std::floor(std::log10(lo))); power <= hi * 1.0001; power *= 10)
    for (const double digit : {1.0, 2.0, 5.0})
      if ((digit == 1 || !sparse) && digit * power >= lo * 0.9999 && digit * power <= hi * 1.0001)
        ticks.push_back(digit * power);
  return ticks;
}

}  // namespace

std::vector<double> round_ticks(double lo, double hi, int count) {
  if (!(hi > lo)) return {lo};
  const double rough = (hi - lo) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double digit : {5.0, 2.0, 1.0})
    if (digit * power >= rough * 0.999) step = digit * power;
  std::vector<double> ticks;
  for (double i = std::floor(lo / step); i * step < hi + 0.999 * step; ++i)
    ticks.push_back(i * step);
  return ticks;
}

AxisMap::AxisMap(const Axis& axis, const std::vector<double>& values, double from, double to)
    : log_(axis.scale == Axis::Scale::log), from_(from), to_(to) {
  std::vector<double> fitting;
  std::copy_if(values.begin(), values.end(), std::back_inserter(fitting),
               [&](double value) { return std::isfinite(value) && (!log_ || value > 0); });
  if (fitting.empty()) fitting.push_back(1);
  auto [least, most] = std::minmax_element(fitting.begin(), fitting.end());
  double lo = *least, hi = *most;
  if (log_) {
    const bool own = !axis.ticks.empty();
    lo /= own ? 1.12 : 1.5;
    hi *= own ? 1.12 : 1.5;
    ticks_ = own ? axis.ticks : log_ticks(lo, hi);
  } else {
    if (axis.from_zero) lo = std::min(0.0, lo);
    if (lo == hi) hi = lo + std::max(1.0, std::abs(lo));
    ticks_ = axis.ticks.empty() ? round_ticks(lo, hi, 5) : axis.ticks;
    lo = std::min(lo, ticks_.front());
    hi = std::max(hi, ticks_.back());
  }
  lo_ = scaled(lo);
  hi_ = scaled(hi);
}

double AxisMap::scaled(double value) const { return log_ ? std::log10(value) : value; }

double AxisMap::position(double value) const {
  if (log_ && !(value > 0)) return from_;
  const double share = std::clamp((scaled(value) - lo_) / (hi_ - lo_), 0.0, 1.0);
  return from_ + share * (to_ - from_);
}

std::string AxisMap::label(double tick) const {
  if (log_) return fmt::format("{:g}", tick);
  const double step = ticks_.size() > 1 ? std::abs(ticks_[1] - ticks_[0]) : 1;
  const int decimals = std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 6);
  return fmt::format("{:.{}f}", std::abs(tick) < step / 1e6 ? 0.0 : tick, decimals);
}

}  // namespace fluxq::report
