#include "report/report.h"

#include "base/error.h"
#include "base/file.h"
#include "report/chart.h"
#include "report/csv.h"
#include "report/html.h"
#include "report/json.h"
#include "report/markdown.h"
#include "report/sections.h"

namespace fluxq::report {

namespace fs = std::filesystem;

Report make_report(const Results& results, const fs::path& run, const Constraints& constraints,
                   Progress* progress, const CancelToken* cancel) {
  const Analysis analysis = analyse(results);
  const Recommendation recommendation = recommend(analysis, constraints);
  Gallery gallery = make_gallery(analysis, run, progress, cancel);
  const Document document = make_document(analysis, recommendation, gallery);

  Report report;
  for (const ExtraFile& file : gallery.files)
    report.files.push_back(
        {file.path, {reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size()}});
  for (const Section& section : document.sections)
    for (const Block& block : section.blocks)
      if (const auto* charts = std::get_if<Charts>(&block))
        for (const Chart& chart : charts->charts)
          report.files.push_back({chart_path(chart), standalone_svg(chart)});
  report.files.push_back({"results.json", dump(results_json(analysis))});
  report.files.push_back({"matrix.csv", matrix_csv(analysis)});
  report.files.push_back({"report.md", render_markdown(document)});
  report.files.push_back({"report.html", render_html(document)});
  report.problems = std::move(gallery.problems);
  return report;
}

void write_report(const Report& report, const fs::path& run) {
  std::error_code error;
  fs::create_directory(run / "report", error);
  if (error)
    fail(ErrorCode::io, "{}: cannot make the folder: {}", (run / "report").string(),
         error.message());
  for (const ReportFile& file : report.files) atomic_write(run / file.path, file.bytes);
}

std::string recommendation_json(const Recommendation& recommendation, const Analysis& analysis) {
  return dump(to_json(recommendation, analysis));
}

}  // namespace fluxq::report
