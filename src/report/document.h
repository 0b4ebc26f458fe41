/// A report before it is HTML or Markdown: sections of blocks that hold plain text. Whoever writes
/// a section says what stands there; how it looks, and escaping, is for html.cc and markdown.cc.
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

namespace fluxq::report {

enum class Tone { plain, good, bad, quiet };

struct Paragraph {
  std::string text;
  Tone tone = Tone::plain;
  bool lead = false;  ///< set larger: the sentence to remember
};

struct Heading {
  std::string text;
};

struct Bullets {
  std::vector<std::string> items;
};

struct Column {
  std::string title;
  bool numeric = true;  ///< right-aligned, figures of one width
};

struct TableCell {
  std::string text;
  std::string detail;  ///< smaller, below or beside: an interval
  Tone tone = Tone::plain;
};

/// The first column names the row.
struct Table {
  std::string caption;
  std::vector<Column> columns;
  std::vector<std::vector<TableCell>> rows;
};

struct Chart {
  std::string name;  ///< of its file beside report.md: "batch-scaling"
  std::string title;
  std::string description;  ///< for those who cannot see it
  std::string svg;          ///< the inner elements (see chart.h)
  int width = 0, height = 0;
};

/// Charts that stand side by side where there is room.
struct Charts {
  std::vector<Chart> charts;
};

/// A picture as shown. Without `png` (its file is missing) a box with the caption stands there.
struct Picture {
  std::string caption;
  std::string detail;  ///< smaller: its figures
  Tone tone = Tone::plain;
  std::vector<std::byte> png;
  std::string link;           ///< a file relative to the run's folder, for Markdown
  int width = 0, height = 0;  ///< of png
  bool enlarged = false;      ///< show its pixels
};

/// Pictures that belong together, in a row where there is room.
struct PictureRow {
  std::string title;
  std::vector<Picture> pictures;
};

/// The same, small; Markdown leaves it out.
struct Thumbnails {
  std::string title;
  std::vector<Picture> pictures;
};

/// The colours of difference maps.
struct ColourScale {
  std::string title;
};

using Block =
    std::variant<Paragraph, Heading, Bullets, Table, Charts, PictureRow, Thumbnails, ColourScale>;

struct Section {
  std::string id;  ///< "performance"
  std::string title;
  std::vector<Block> blocks;
};

struct Document {
  std::string title, subtitle;
  std::vector<Section> sections;
};

}  // namespace fluxq::report
