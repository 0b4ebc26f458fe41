/// A report as GitHub's Markdown. Pictures and charts are links to files of the run's folder.
#pragma once

#include <string>

#include "report/document.h"

namespace fluxq::report {

std::string render_markdown(const Document& document);

/// Where render_markdown expects the chart's file: "report/batch-time.svg".
std::string chart_path(const Chart& chart);

}  // namespace fluxq::report
