/// Writing the report of a run into its folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "fluxq/cancel.h"
#include "fluxq/progress.h"
#include "report/recommend.h"

namespace fluxq::report {

/// What a report says, not yet written: the file's path relative to the run, and its bytes.
struct ReportFile {
  std::string path;
  std::string bytes;
};

struct Report {
  std::vector<ReportFile> files;      ///< report.html last
  std::vector<std::string> problems;  ///< sentences for the user: pictures that are missing
};

/// Renders report.html, report.md (with charts and maps in report/), matrix.csv and results.json.
/// Pictures are read from `run`. The same run gives the same bytes. Errors: bad_argument for a run
/// without cells; cancelled.
Report make_report(const Results& results, const std::filesystem::path& run,
                   const Constraints& constraints, Progress* progress = nullptr,
                   const CancelToken* cancel = nullptr);

/// Writes all files into `run`, each complete or not at all. Errors of AtomicFile; io if the folder
/// report/ cannot be made.
void write_report(const Report& report, const std::filesystem::path& run);

/// recommendation.json of a run.
std::string recommendation_json(const Recommendation& recommendation, const Analysis& analysis);

}  // namespace fluxq::report
