#include "report/markdown.h"

#include <fmt/format.h>

#include "report/markup.h"

namespace fluxq::report {
namespace {

std::string image(const std::string& alt, const std::string& path) {
  return fmt::format("![{}]({})", escape_markdown(alt), escape_path(path));
}

// Writes one block after another, each followed by an empty line. Every text goes through
// escape_markdown.
class Page {
 public:
  std::string take() { return std::move(out_); }

  void operator()(const Paragraph& paragraph) { out_ += escape_markdown(paragraph.text) + "\n\n"; }

  void operator()(const Heading& heading) {
    out_ += "### " + escape_markdown(heading.text) + "\n\n";
  }

  void operator()(const Bullets& bullets) {
    for (const std::string& item : bullets.items) out_ += "- " + escape_markdown(item) + "\n";
    out_ += "\n";
  }

  void operator()(const Table& table) {
    out_ += escape_markdown(table.caption) + ":\n\n|";
    for (const Column& column : table.columns) field(escape_markdown(column.title));
    out_ += "\n|";
    for (const Column& column : table.columns) out_ += column.numeric ? "--:|" : ":--|";
    out_ += "\n";
    for (const auto& row : table.rows) {
      out_ += "|";
      for (size_t i = 0; i < row.size() && i < table.columns.size(); ++i)
        field(cell(row[i], table.columns[i], i == 0));
      out_ += "\n";
    }
    out_ += "\n";
  }

  void operator()(const Charts& charts) {
    for (const Chart& chart : charts.charts)
      out_ += image(chart.title + ". " + chart.description, chart_path(chart)) + "\n\n";
  }

  void operator()(const PictureRow& row) {
    out_ += "#### " + escape_markdown(row.title) + "\n\n|";
    for (const Picture& picture : row.pictures) field(escape_markdown(picture.caption));
    out_ += "\n|";
    for (size_t i = 0; i < row.pictures.size(); ++i) out_ += ":-:|";
    out_ += "\n|";
    for (const Picture& picture : row.pictures)
      field(picture.png.empty() || picture.link.empty() ? "no picture"
                                                        : image(picture.caption, picture.link));
    out_ += "\n|";
    for (const Picture& picture : row.pictures) field(escape_markdown(picture.detail));
    out_ += "\n\n";
  }

  void operator()(const Thumbnails&) {}

  void operator()(const ColourScale& scale) {
    out_ += escape_markdown(scale.title +
                            ", black for 0 through violet and orange to pale yellow for 1, by its "
                            "square root.") +
            "\n\n";
  }

 private:
  // One of a table's row, after the bar that begins it.
  void field(const std::string& text) { out_ += fmt::format(" {} |", text); }

  static std::string cell(const TableCell& cell, const Column& column, bool is_header) {
    std::string text = escape_markdown(cell.text);
    if (is_header || cell.tone == Tone::bad) text = text.empty() ? text : "**" + text + "**";
    if (cell.detail.empty()) return text;
    return text + (column.numeric ? "<br><sub>" : "<br>") + escape_markdown(cell.detail) +
           (column.numeric ? "</sub>" : "");
  }

  std::string out_;
};

}  // namespace

std::string chart_path(const Chart& chart) { return "report/" + chart.name + ".svg"; }

std::string render_markdown(const Document& document) {
  std::string text = fmt::format("# {}\n\n{}\n\n", escape_markdown(document.title),
                                 escape_markdown(document.subtitle));
  for (const Section& section : document.sections) {
    text += fmt::format("## {}\n\n", escape_markdown(section.title));
    Page page;
    for (const Block& block : section.blocks) {
      // Small pictures and the heading over them are for the HTML page alone.
      const auto* heading = std::get_if<Heading>(&block);
      const auto* next = &block == &section.blocks.back() ? nullptr : &block + 1;
      if (heading && next && std::holds_alternative<Thumbnails>(*next)) continue;
      std::visit(page, block);
    }
    text += page.take();
  }
  while (text.ends_with("\n\n")) text.pop_back();
  return text;
}

}  // namespace fluxq::report
