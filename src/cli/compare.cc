/// `fluxq compare`: how far two pictures, or two folders of pictures, are from each other.
#include "report/compare.h"

#include <fmt/format.h>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "image/png.h"
#include "report/json.h"

namespace fluxq::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  fs::path a, b, output;
  bool json = false;
};

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    fail(ErrorCode::io, "--output {}: cannot make the folder: {}", folder.string(),
         error.message());
}

report::FolderComparison compare(const Options& options, const Session& session) {
  if (fs::is_directory(options.a) != fs::is_directory(options.b))
    fail(ErrorCode::bad_argument,
         "compare: expected two pictures or two folders, got one of each: {} and {}",
         options.a.string(), options.b.string());
  for (const fs::path& input : {options.a, options.b})
    if (std::error_code error; fs::equivalent(options.output, input, error))
      fail(ErrorCode::bad_argument,
           "--output {}: expected another place than the pictures that are compared",
           options.output.string());
  if (fs::is_directory(options.a)) {
    if (!options.output.empty()) make_folder(options.output);
    ProgressBar progress(session);
    return report::compare_folders(options.a, options.b, options.output, &progress,
                                   &session.cancel);
  }
  report::FolderComparison comparison;
  comparison.pairs.push_back(report::compare_pictures(
      read_png(options.a).image, read_png(options.b).image, options.b.filename().string()));
  if (!options.output.empty()) write_png(options.output, comparison.pairs[0].difference);
  return comparison;
}

void run(const Options& options, const Session& session) {
  const report::FolderComparison comparison = compare(options, session);
  print(options.json ? report::dump(to_json(comparison)) : to_text(comparison));
  int64_t problems = 0;
  for (const report::PictureComparison& pair : comparison.pairs) problems += !pair.problem.empty();
  if (problems > 0)
    fail(ErrorCode::bad_argument,
         "compare: expected pairs of sound pictures of one size, got {} "
         "of {} that are not (see the list)",
         problems, comparison.pairs.size());
}

}  // namespace

void add_compare(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("compare", "Compare two pictures, or two folders of pictures by name");
  command->footer(
      "PSNR, SSIM, FLIP, and the loss in percent: 100 x FLIP. The difference picture shows FLIP\n"
      "per pixel: black for none, through violet and orange, to pale yellow.\n"
      "Example: fluxq compare bf16/apple.png int8dq/apple.png -o difference.png");
  command->add_option("A", options->a, "The reference: a .png file or a folder of them")
      ->required();
  command->add_option("B", options->b, "What to compare with it")->required();
  command->add_option("-o,--output", options->output,
                      "Write the difference picture here (for folders, one of each name in here)");
  command->add_flag("--json", options->json, "One JSON object on standard output");
  command->callback([options, &session] { run(*options, session); });
}

}  // namespace fluxq::cli
