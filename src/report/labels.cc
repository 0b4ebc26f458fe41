#include "report/labels.h"

#include <algorithm>
#include <array>

namespace fluxq::report {
namespace {

constexpr double kLineHeight = 16;

bool overlap(const Box& a, const Box& b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

}  // namespace

double text_width(std::string_view text) {
  const auto characters = std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // not a continuation byte
  });
  return 7.2 * static_cast<double>(characters);
}

void spread(std::vector<EndLabel>& labels, double top, double bottom) {
  std::stable_sort(labels.begin(), labels.end(),
                   [](const EndLabel& a, const EndLabel& b) { return a.point_y < b.point_y; });
  double next = top;
  for (EndLabel& label : labels) {
    label.y = std::max(label.point_y, next);
    next = label.y + kLineHeight;
  }
  double limit = bottom;
  for (auto label = labels.rbegin(); label != labels.rend() && label->y > limit; ++label) {
    label->y = limit;
    limit -= kLineHeight;
  }
}

bool covers(const Box& box, const std::vector<Box>& taken) {
  return std::any_of(taken.begin(), taken.end(),
                     [&](const Box& other) { return overlap(box, other); });
}

PlacedLabel place(double x, double y, std::string_view name, const Box& frame,
                  const std::vector<Box>& taken) {
  const double width = text_width(name);
  struct Side {
    double dx, dy;
    std::string_view anchor;
  };
  constexpr std::array kSides = {
      Side{9, 4, "start"},  Side{-9, 4, "end"},   Side{0, -10, "middle"}, Side{0, 20, "middle"},
      Side{8, -8, "start"}, Side{8, 18, "start"}, Side{-8, -8, "end"},    Side{-8, 18, "end"}};
  PlacedLabel first{};
  for (const Side& side : kSides) {
    const double at = x + side.dx;
    const double left = side.anchor == "start" ? at
                        : side.anchor == "end" ? at - width
                                               : at - width / 2;
    const Box box{left, y + side.dy - 12, left + width, y + side.dy + 3};
    const PlacedLabel label{at, y + side.dy, side.anchor, box};
    if (&side == kSides.data()) first = label;
    const bool inside = box.left >= frame.left && box.right <= frame.right &&
                        box.top >= frame.top - 12 && box.bottom <= frame.bottom;
    if (inside && !covers(box, taken)) return label;
  }
  return first;
}

}  // namespace fluxq::report
