/// A report as one HTML file: style and pictures inside, no script, nothing fetched (a content
/// security policy forbids both). Light or dark as the reader's system. Tables become cards where
/// the window is narrow, so that no width needs horizontal scrolling.
#pragma once

#include <string>

#include "report/document.h"

namespace fluxq::report {

std::string render_html(const Document& document);

/// The style sheet of the page, charts excepted.
std::string_view page_css();

}  // namespace fluxq::report
