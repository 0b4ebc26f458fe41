/// From values to positions on a chart.
#pragma once

#include <string>
#include <vector>

#include "report/chart.h"

namespace fluxq::report {

/// An axis with its range fixed, between two positions in pixels.
class AxisMap {
 public:
  /// The range holds all `values` (those that fit the scale) with a margin.
  AxisMap(const Axis& axis, const std::vector<double>& values, double from, double to);

  /// Values outside the range (0 on a logarithmic axis) go to its end.
  double position(double value) const;
  const std::vector<double>& ticks() const { return ticks_; }
  /// All ticks with the same decimals.
  std::string label(double tick) const;

 private:
  double scaled(double value) const;

  bool log_;
  double lo_ = 0, hi_ = 1;  // scaled
  double from_, to_;
  std::vector<double> ticks_;
};

}  // namespace fluxq::report
