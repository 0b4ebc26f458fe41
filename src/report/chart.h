/// Charts as SVG elements. Colours and fonts come from CSS classes, which html.cc and
/// standalone_svg() define once for light and dark; series differ in marker as well as in colour.
/// Values that are not finite are left out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "metrics/statistics.h"
#include "report/document.h"

namespace fluxq::report {

struct ChartPoint {
  double x = 0, y = 0;
  std::optional<Interval> x_range, y_range;  ///< drawn as whiskers
};

struct Series {
  std::string name;
  int style = 0;  ///< colour and marker: 0 the baseline, then 1, 2, ...
  std::vector<ChartPoint> points;
};

struct Axis {
  std::string title;
  enum class Scale { linear, log } scale = Scale::linear;
  bool from_zero = false;          ///< linear only
  std::vector<double> ticks = {};  ///< own ticks; else round numbers
};

/// A horizontal line with a name: a limit, the noise floor.
struct ReferenceLine {
  double y = 0;
  std::string name;
};

struct ChartSpec {
  std::string name, title, description;
  Axis x, y;
  std::vector<Series> series;
  std::vector<ReferenceLine> lines = {};
  bool connect = true;  ///< points of a series by a line; names at its end
  bool frontier =
      false;  ///< a line through the points that no other beats on both axes (low is good)
};

Chart draw_chart(const ChartSpec& spec);

/// The style sheet of charts: variables and classes.
std::string chart_css();

/// A complete SVG file.
std::string standalone_svg(const Chart& chart);

/// Round numbers that cover [lo, hi]: about `count`.
std::vector<double> round_ticks(double lo, double hi, int count);

}  // namespace fluxq::report
