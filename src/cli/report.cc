/// `fluxq report`: a run as pages for people and files for programs.
#include "report/report.h"

#include <fmt/format.h>

#include "bench/store.h"
#include "cli/commands.h"
#include "cli/progress_bar.h"

namespace fluxq::cli {
namespace {

namespace fs = std::filesystem;

void run(const fs::path& folder, bool json, const Session& session) {
  const Results results = load_results(folder);
  ProgressBar progress(session);
  const report::Report made = report::make_report(results, folder, {}, &progress, &session.cancel);
  report::write_report(made, folder);
  for (const std::string& problem : made.problems) progress.warn(problem);
  if (!json) {
    print((folder / "report.html").string() + "\n");
    return;
  }
  Json files = Json::array();
  for (const report::ReportFile& file : made.files) files.push_back(file.path);
  print_json({{"run", folder.string()}, {"files", files}, {"problems", made.problems}});
}

}  // namespace

void add_report(CLI::App& app, Session& session) {
  struct Options {
    fs::path folder;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "report", "Write report.html, report.md, matrix.csv and results.json of a benchmark run");
  command->footer(
      "A picture that is missing or was changed since the run is left out, with a warning.\n"
      "Example: fluxq report runs/h100");
  command->add_option("RUN", options->folder, "The folder that fluxq bench -o wrote")->required();
  command->add_flag("--json", options->json, "One JSON object on standard output");
  command->callback([options, &session] { run(options->folder, options->json, session); });
}

}  // namespace fluxq::cli
