#include "report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/axis.h"
#include "report/labels.h"
#include "report/markup.h"

namespace fluxq::report {
namespace {

constexpr int kWidth = 480, kHeight = 320;
constexpr double kLeft = 56, kTop = 30, kBottom = kHeight - 46;
constexpr int kStyles = 8;

int style_of(int style) { return style <= 0 ? 0 : 1 + (style - 1) % (kStyles - 1); }

bool is_drawable(const ChartPoint& point) {
  return std::isfinite(point.x) && std::isfinite(point.y);
}

// A shape for each style, so that colour is not needed to tell series apart.
std::string marker(int style, double x, double y) {
  const double r = 4.5;
  switch (style) {
    case 1:
    case 5:
      return fmt::format(R"(<rect class="m s{}" x="{:.1f}" y="{:.1f}" width="{}" height="{}"/>)",
                         style, x - 4, y - 4, 8, 8);
    case 2:
    case 6:
      return fmt::format(R"(<path class="m s{}" d="M{:.1f} {:.1f}l5 9h-10z"/>)", style, x, y - 5.5);
    case 3:
    case 7:
      return fmt::format(R"(<path class="m s{}" d="M{:.1f} {:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>)",
                         style, x, y - 5.5);
    case 4:
      return fmt::format(R"(<path class="m s{}" d="M{:.1f} {:.1f}l-5 -9h10z"/>)", style, x,
                         y + 5.5);
    default:
      return fmt::format(R"(<circle class="m s{}" cx="{:.1f}" cy="{:.1f}" r="{}"/>)", style, x, y,
                         r);
  }
}

std::string text(double x, double y, std::string_view anchor, std::string_view content,
                 std::string_view classes = "t") {
  return fmt::format(R"(<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>)",
                     classes, x, y, anchor, escape_html(content));
}

std::string line(std::string_view classes, double x1, double y1, double x2, double y2) {
  return fmt::format(R"(<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)",
                     classes, x1, y1, x2, y2);
}

class Drawing {
 public:
  explicit Drawing(const ChartSpec& spec)
      : spec_(spec),
        right_(kWidth - (spec.connect ? label_room() : 14.0)),
        x_(spec.x, values_x(), kLeft, right_),
        y_(spec.y, values_y(), kBottom, kTop) {}

  std::string svg() {
    draw_axes();
    for (const Series& series : spec_.series) take_places(series);
    draw_lines();
    if (spec_.frontier) draw_frontier();
    for (const Series& series : spec_.series) draw_series(series);
    spec_.connect ? draw_end_labels() : draw_point_labels();
    return out_;
  }

 private:
  double label_room() const {
    double room = 0;
    for (const Series& series : spec_.series) room = std::max(room, text_width(series.name));
    return std::min(room + 20, 190.0);
  }

  std::vector<double> values_x() const {
    std::vector<double> values;
    for (const Series& series : spec_.series)
      for (const ChartPoint& point : series.points) values.push_back(point.x);
    return values;
  }

  std::vector<double> values_y() const {
    std::vector<double> values;
    for (const Series& series : spec_.series)
      for (const ChartPoint& point : series.points) {
        values.push_back(point.y);
        if (point.y_range) values.insert(values.end(), {point.y_range->lo, point.y_range->hi});
      }
    for (const ReferenceLine& reference : spec_.lines) values.push_back(reference.y);
    return values;
  }

  void draw_axes() {
    for (const double tick : y_.ticks()) {
      const double y = y_.position(tick);
      out_ += line("g", kLeft, y, right_, y);
      out_ += text(kLeft - 8, y + 4, "end", y_.label(tick));
    }
    out_ += line("a", kLeft, kBottom, right_, kBottom);
    for (const double tick : x_.ticks()) {
      const double x = x_.position(tick);
      out_ += line("a", x, kBottom, x, kBottom + 4);
      out_ += text(x, kBottom + 18, "middle", x_.label(tick));
    }
    out_ += text((kLeft + right_) / 2, kHeight - 8, "middle", spec_.x.title, "t q");
    out_ += text(4, 12, "start", spec_.y.title, "t q");
  }

  // Where a name must not stand: markers and whiskers.
  void take_places(const Series& series) {
    for (const ChartPoint& point : series.points) {
      if (!is_drawable(point)) continue;
      const double x = x_.position(point.x), y = y_.position(point.y);
      taken_.push_back({x - 6, y - 6, x + 6, y + 6});
      if (point.y_range)
        taken_.push_back(
            {x - 1, y_.position(point.y_range->hi), x + 1, y_.position(point.y_range->lo)});
    }
  }

  void draw_lines() {
    for (const ReferenceLine& reference : spec_.lines) {
      const double y = y_.position(reference.y);
      out_ += line("r", kLeft, y, right_, y);
      taken_.push_back({kLeft, y - 1, right_, y + 1});
      const double width = text_width(reference.name);
      Box box{right_ - 4 - width, y - 17, right_ - 2, y - 2};
      if (covers(box, taken_)) box = {kLeft + 4, y - 17, kLeft + 6 + width, y - 2};
      taken_.push_back(box);
      out_ += text(box.left, y - 5, "start", reference.name, "t q");
    }
  }

  void draw_series(const Series& series) {
    const int style = style_of(series.style);
    std::string path, markers;
    for (const ChartPoint& point : series.points) {
      if (!is_drawable(point)) continue;
      const double x = x_.position(point.x), y = y_.position(point.y);
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', x, y);
      if (point.y_range)
        markers += line(fmt::format("w s{}", style), x, y_.position(point.y_range->lo), x,
                        y_.position(point.y_range->hi));
      if (point.x_range)
        markers += line(fmt::format("w s{}", style), x_.position(point.x_range->lo), y,
                        x_.position(point.x_range->hi), y);
      markers += marker(style, x, y);
    }
    if (spec_.connect && !path.empty())
      out_ += fmt::format(R"(<path class="l s{}" d="{}"/>)", style, path);
    out_ += markers;
  }

  // Steps between the points that are low on both axes.
  void draw_frontier() {
    std::vector<ChartPoint> points;
    for (const Series& series : spec_.series)
      for (const ChartPoint& point : series.points)
        if (is_drawable(point)) points.push_back(point);
    std::sort(points.begin(), points.end(), [](const ChartPoint& a, const ChartPoint& b) {
      return a.x != b.x ? a.x < b.x : a.y < b.y;
    });
    std::string path;
    double best = std::numeric_limits<double>::infinity(), from_x = kLeft, from_y = kTop;
    for (const ChartPoint& point : points) {
      if (point.y >= best) continue;
      const double x = x_.position(point.x), y = y_.position(point.y);
      if (!path.empty()) taken_.push_back({from_x, from_y - 1, x, from_y + 1});
      path += path.empty() ? fmt::format("M{:.1f} {:.1f}V{:.1f}", x, kTop, y)
                           : fmt::format("H{:.1f}V{:.1f}", x, y);
      taken_.push_back({x - 1, from_y, x + 1, y});
      best = point.y;
      from_x = x;
      from_y = y;
    }
    if (path.empty()) return;
    taken_.push_back({from_x, from_y - 1, right_, from_y + 1});
    out_ += fmt::format(R"(<path class="f" d="{}H{:.1f}"/>)", path, right_);
  }

  void draw_end_labels() {
    std::vector<EndLabel> labels;
    for (const Series& series : spec_.series)
      for (auto point = series.points.rbegin(); point != series.points.rend(); ++point)
        if (is_drawable(*point)) {
          labels.push_back({series.name, style_of(series.style), x_.position(point->x),
                            y_.position(point->y), 0});
          break;
        }
    spread(labels, kTop, kBottom);
    for (const EndLabel& label : labels) {
      if (std::abs(label.y - label.point_y) > 6 || right_ - label.point_x > 8)
        out_ += line(fmt::format("k s{}", label.style), label.point_x + 6, label.point_y,
                     right_ + 8, label.y);
      out_ += text(right_ + 12, label.y + 4, "start", label.name, "t");
    }
  }

  void draw_point_labels() {
    for (const Series& series : spec_.series)
      for (const ChartPoint& point : series.points) {
        if (!is_drawable(point)) continue;
        const PlacedLabel label = place(x_.position(point.x), y_.position(point.y), series.name,
                                        {kLeft, kTop, double(kWidth), kBottom}, taken_);
        taken_.push_back(label.box);
        out_ += text(label.x, label.y, label.anchor, series.name, "t");
      }
  }

  const ChartSpec& spec_;
  double right_;
  AxisMap x_, y_;
  std::vector<Box> taken_;
  std::string out_;
};

}  // namespace

Chart draw_chart(const ChartSpec& spec) {
  return {spec.name, spec.title, spec.description, Drawing(spec).svg(), kWidth, kHeight};
}

std::string chart_css() {
  // Colours after Okabe and Ito's set for colour-blind readers, darkened on white and lightened on
  // black until each has a contrast of 3 : 1.
  return R"(.chart{--ink:#1d2127;--quiet:#5c6470;--rule:#e3e6ea;--halo:#fff;--s0:#5c6470;--s1:#0069a8;--s2:#c24e00;--s3:#00805d;--s4:#a3458a;--s5:#8a6d00;--s6:#2a86c0;--s7:#7a3f12}
@media (prefers-color-scheme:dark){.chart{--ink:#e6e8eb;--quiet:#a0a7b1;--rule:#30353c;--halo:#15181c;--s0:#a0a7b1;--s1:#58b4ea;--s2:#f28d4a;--s3:#3fc99d;--s4:#dd8fc5;--s5:#dcc04a;--s6:#8ecbf2;--s7:#d3a077}}
.chart text{fill:var(--ink);font:13px system-ui,sans-serif;font-variant-numeric:tabular-nums;paint-order:stroke;stroke:var(--halo);stroke-width:3px;stroke-linejoin:round}.chart .q{fill:var(--quiet)}
.chart line,.chart path{fill:none}.chart .g{stroke:var(--rule)}.chart .a{stroke:var(--quiet)}.chart .r{stroke:var(--quiet);stroke-dasharray:5 4}.chart .f{stroke:var(--quiet);stroke-width:1;opacity:.6}
.chart .l{stroke-width:1.8}.chart .w{stroke-width:1.5}.chart .k{opacity:.5}
.chart .s0{stroke:var(--s0)}.chart .s1{stroke:var(--s1)}.chart .s2{stroke:var(--s2)}.chart .s3{stroke:var(--s3)}.chart .s4{stroke:var(--s4)}.chart .s5{stroke:var(--s5)}.chart .s6{stroke:var(--s6)}.chart .s7{stroke:var(--s7)}
.chart .m.s0{fill:var(--s0)}.chart .m.s1{fill:var(--s1)}.chart .m.s2{fill:var(--s2)}.chart .m.s3{fill:var(--s3)}.chart .m.s4{fill:var(--s4)}.chart .m.s5{fill:var(--s5)}.chart .m.s6{fill:var(--s6)}.chart .m.s7{fill:var(--s7)}
)";
}

std::string standalone_svg(const Chart& chart) {
  return fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img"><title>{2}</title><desc>{3}</desc><style>{4}</style>{5}</svg>)"
      "\n",
      chart.width, chart.height, escape_html(chart.title), escape_html(chart.description),
      chart_css(), chart.svg);
}

}  // namespace fluxq::report
