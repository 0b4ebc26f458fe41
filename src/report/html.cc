#include "report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include "report/chart.h"
#include "report/markup.h"
#include "report/picture_tools.h"

namespace fluxq::report {
namespace {

std::string_view tone_class(Tone tone) {
  switch (tone) {
    case Tone::good:
      return "good";
    case Tone::bad:
      return "bad";
    case Tone::quiet:
      return "quiet";
    case Tone::plain:
      break;
  }
  return "";
}

// ` class="a b"` of the names that are not empty.
std::string class_of(std::initializer_list<std::string_view> names) {
  std::string joined;
  for (const std::string_view name : names) {
    if (name.empty()) continue;
    if (!joined.empty()) joined += ' ';
    joined += name;
  }
  return joined.empty() ? "" : " class=\"" + joined + '"';
}

// escape_html, and a number stays on the line of its unit: "1.03 %", "1024 × 1024".
std::string prose(const std::string& text) {
  constexpr std::array<std::string_view, 9> kAfter = {"%",  "×",  "ms", "s", "GB",
                                                      "MB", "kB", "dB", "W"};
  const std::string escaped = escape_html(text);
  std::string kept;
  for (size_t i = 0; i < escaped.size(); ++i) {
    const std::string_view rest = std::string_view(escaped).substr(i + 1);
    const bool after_digit = i > 0 && std::isdigit(static_cast<unsigned char>(escaped[i - 1]));
    const bool is_unit = std::any_of(kAfter.begin(), kAfter.end(), [&](std::string_view unit) {
      return rest.starts_with(unit) &&
             (rest.size() == unit.size() ||
              !std::isalpha(static_cast<unsigned char>(rest[unit.size()])));
    });
    if (escaped[i] == ' ' && after_digit && is_unit)
      kept += "&nbsp;";
    else
      kept += escaped[i];
  }
  return kept;
}

std::string small(const std::string& text) {
  return text.empty() ? "" : "<small>" + prose(text) + "</small>";
}

// Writes one block after another. Every text goes through escape_html.
class Page {
 public:
  std::string take() { return std::move(out_); }

  // Thumbnails that follow each other share a grid.
  void add(const std::vector<Block>& blocks) {
    bool in_grid = false;
    for (const Block& block : blocks) {
      if (std::holds_alternative<Thumbnails>(block) != in_grid) {
        in_grid = !in_grid;
        out_ += in_grid ? "<div class=\"groups\">\n" : "</div>\n";
      }
      std::visit(*this, block);
    }
    if (in_grid) out_ += "</div>\n";
  }

  void operator()(const Paragraph& paragraph) {
    out_ += fmt::format("<p{}>{}</p>\n",
                        class_of({paragraph.lead ? "lead" : "", tone_class(paragraph.tone)}),
                        prose(paragraph.text));
  }

  void operator()(const Heading& heading) {
    out_ += "<h3>" + escape_html(heading.text) + "</h3>\n";
  }

  void operator()(const Bullets& bullets) {
    out_ += "<ul>\n";
    for (const std::string& item : bullets.items) out_ += "<li>" + prose(item) + "</li>\n";
    out_ += "</ul>\n";
  }

  // Roles are named because the narrow layout, which changes `display`, would take them away.
  void operator()(const Table& table) {
    out_ += fmt::format(
        "<table role=\"table\"{}><caption>{}</caption>\n<thead role=\"rowgroup\"><tr role=\"row\">",
        class_of({table.columns.size() == 2 ? "pair" : ""}), escape_html(table.caption));
    for (const Column& column : table.columns)
      out_ += fmt::format("<th role=\"columnheader\" scope=\"col\"{}>{}</th>",
                          class_of({column.numeric ? "n" : ""}), escape_html(column.title));
    out_ += "</tr></thead>\n<tbody role=\"rowgroup\">\n";
    for (const auto& row : table.rows) {
      out_ += "<tr role=\"row\">";
      for (size_t i = 0; i < row.size() && i < table.columns.size(); ++i)
        cell(row[i], table.columns[i], i == 0);
      out_ += "</tr>\n";
    }
    out_ += "</tbody></table>\n";
  }

  void operator()(const Charts& charts) {
    out_ += "<div class=\"charts\">\n";
    for (const Chart& chart : charts.charts)
      out_ += fmt::format(
          "<figure><figcaption>{}</figcaption><svg class=\"chart\" viewBox=\"0 0 {} {}\" "
          "role=\"img\" aria-label=\"{}\">{}</svg></figure>\n",
          escape_html(chart.title), chart.width, chart.height, escape_html(chart.description),
          chart.svg);
    out_ += "</div>\n";
  }

  void operator()(const PictureRow& row) {
    out_ += fmt::format("<h4>{}</h4>\n", escape_html(row.title));
    pictures("row", row.pictures, row.title);
  }

  void operator()(const Thumbnails& thumbnails) {
    out_ += fmt::format("<div><h4 class=\"quiet\">{}</h4>\n", escape_html(thumbnails.title));
    pictures("small", thumbnails.pictures, thumbnails.title);
    out_ += "</div>\n";
  }

  void operator()(const ColourScale& scale) {
    out_ += "<div class=\"scale\"><div>" + escape_html(scale.title) +
            "</div><div class=\"bar\" style=\"background:linear-gradient(90deg";
    for (const uint32_t colour : colour_scale(13)) out_ += fmt::format(",#{:06x}", colour);
    out_ += ")\"></div><div class=\"ticks\">";
    for (const double flip : {0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0})
      out_ += fmt::format("<span style=\"left:{:.1f}%\">{:g}</span>", 100 * std::sqrt(flip), flip);
    out_ += "</div></div>\n";
  }

 private:
  void cell(const TableCell& cell, const Column& column, bool is_header) {
    const std::string classes = class_of({column.numeric ? "n" : "", tone_class(cell.tone)});
    if (is_header) {
      out_ += fmt::format("<th role=\"rowheader\" scope=\"row\"{}>{}{}</th>", classes,
                          prose(cell.text), small(cell.detail));
    } else {
      out_ += fmt::format("<td role=\"cell\"{} data-label=\"{}\"><span>{}</span>{}</td>", classes,
                          escape_html(column.title), prose(cell.text), small(cell.detail));
    }
  }

  void pictures(std::string_view kind, const std::vector<Picture>& pictures,
                const std::string& title) {
    out_ += fmt::format("<div class=\"{}\">\n", kind);
    for (const Picture& picture : pictures) {
      out_ += "<figure>";
      if (picture.png.empty()) {
        out_ += "<div class=\"none\"></div>";
      } else {
        out_ +=
            fmt::format("<img{} width=\"{}\" height=\"{}\" alt=\"{}\" src=\"data:image/png;base64,",
                        class_of({picture.enlarged ? "big" : ""}), picture.width, picture.height,
                        escape_html(picture.caption + ": " + title));
        out_ += base64(picture.png);
        out_ += "\">";
      }
      out_ += fmt::format("<figcaption{}>{}{}</figcaption></figure>\n",
                          class_of({tone_class(picture.tone)}), escape_html(picture.caption),
                          small(picture.detail));
    }
    out_ += "</div>\n";
  }

  std::string out_;
};

}  // namespace

std::string render_html(const Document& document) {
  std::string html = fmt::format(
      R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{0}</title>
<style>
{1}{2}</style>
</head>
<body>
<header><h1>{0}</h1><p class="quiet">{3}</p></header>
<nav aria-label="Sections"><ul>
)",
      escape_html(document.title), page_css(), chart_css(), escape_html(document.subtitle));
  for (const Section& section : document.sections)
    html += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", escape_html(section.id),
                        escape_html(section.title));
  html += "</ul></nav>\n<main>\n";
  for (const Section& section : document.sections) {
    html += fmt::format(
        "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}</h2>\n",
        escape_html(section.id), escape_html(section.title));
    Page page;
    page.add(section.blocks);
    html += page.take();
    html += "</section>\n";
  }
  return html +
         "</main>\n<footer>Every sample is in results.json, the matrix in "
         "matrix.csv.</footer>\n</body>\n</html>\n";
}

}  // namespace fluxq::report
