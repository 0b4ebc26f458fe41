/// Text from anywhere (prompts, paths, names of devices, failures) into the languages of a report,
/// so that it stays text. The only place that knows their special characters.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace fluxq::report {

/// One line of valid UTF-8 that reads as written: line breaks and tabs become spaces; other control
/// characters, ill-formed bytes, and the characters that reorder or hide text (bidirectional
/// controls, zero-width spaces, byte order marks) become U+FFFD.
std::string clean_text(std::string_view text);

/// clean_text for HTML and SVG, in text as in quoted attributes.
std::string escape_html(std::string_view text);

/// clean_text for GitHub's Markdown, anywhere within a line or a table cell.
std::string escape_markdown(std::string_view text);

/// A path relative to the page, for href and src in HTML and for a Markdown link: percent-encoded,
/// so it has no scheme, quote or bracket.
std::string escape_path(std::string_view path);

/// A CSV field (RFC 4180), quoted where needed. Text that a spreadsheet would take for a formula
/// (first character = + - @, also after spaces, tab, line break) gets an apostrophe in front.
std::string csv_field(std::string_view text);

/// RFC 4648, padded.
std::string base64(std::span<const std::byte> bytes);

}  // namespace fluxq::report
