/// Placing the names in a chart so that they do not cover each other.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fluxq::report {

struct Box {
  double left, top, right, bottom;
};

/// The name of a line, beside its last point.
struct EndLabel {
  std::string name;
  int style = 0;
  double point_x = 0, point_y = 0;
  double y = 0;  ///< set by spread()
};

/// Moves labels apart vertically, as little as needed, within [top, bottom] where they fit.
void spread(std::vector<EndLabel>& labels, double top, double bottom);

struct PlacedLabel {
  double x, y;  ///< of the text's baseline
  std::string_view anchor;
  Box box;
};

/// Whether the box overlaps any of `taken`.
bool covers(const Box& box, const std::vector<Box>& taken);

/// Beside the point, on the first side where it covers nothing of `taken` and stays in `frame`.
PlacedLabel place(double x, double y, std::string_view name, const Box& frame,
                  const std::vector<Box>& taken);

/// Of the charts' font, estimated.
double text_width(std::string_view text);

}  // namespace fluxq::report
