/// `fluxq recommend`: one scheme for production, and why not the others.
#include "report/recommend.h"

#include <fmt/format.h>

#include "base/file.h"
#include "bench/store.h"
#include "cli/commands.h"
#include "report/report.h"

namespace fluxq::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  fs::path folder;
  report::Constraints constraints;
  int64_t max_memory_bytes = 0;
  int batch = 0;
  std::string objective = "latency";
  bool json = false;
};

std::string text_of(const report::Recommendation& recommendation) {
  std::string text = recommendation.paragraph + "\n";
  for (const std::string& caveat : recommendation.caveats) text += "Note: " + caveat + "\n";
  for (const report::Candidate& candidate : recommendation.candidates)
    if (!candidate.why_not.empty())
      text += fmt::format("\n{}: {}", candidate.scheme, candidate.why_not);
  return text + "\n";
}

void run(const Options& options) {
  const Results results = load_results(options.folder);
  const report::Analysis analysis = report::analyse(results);
  const report::Recommendation recommendation = report::recommend(analysis, options.constraints);
  const std::string json = report::recommendation_json(recommendation, analysis);
  atomic_write(options.folder / "recommendation.json", json);
  print(options.json ? json : text_of(recommendation));
}

}  // namespace

void add_recommend(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("recommend", "Name the scheme for production, and why not each other one");
  command->footer(
      "Quality loss is 100 x the mean FLIP against bf16; a scheme qualifies only if the whole 95 "
      "%\n"
      "interval is within the limit. If none does, \"scheme\" is null in recommendation.json.\n"
      "Example: fluxq recommend runs/h100 --max-quality-loss 2 --max-memory 24GB");
  command->add_option("RUN", options->folder, "The folder that fluxq bench -o wrote")->required();
  command
      ->add_option("--max-quality-loss", options->constraints.max_quality_loss,
                   "The most quality loss, in percent")
      ->capture_default_str();
  CLI::Option* memory = command
                            ->add_option("--max-memory", options->max_memory_bytes,
                                         "The most memory at the peak: bytes, or 24GB, 16GiB")
                            ->transform(CLI::AsSizeValue(true));
  CLI::Option* batch = command->add_option(
      "--batch", options->batch, "Of this batch [the smallest; for throughput, the best]");
  command
      ->add_option("--objective", options->objective,
                   "latency, throughput or memory: what to optimize")
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print recommendation.json instead of text");
  command->callback([options, memory, batch] {
    report::Constraints& constraints = options->constraints;
    if (memory->count() > 0) constraints.max_memory_bytes = options->max_memory_bytes;
    if (batch->count() > 0) constraints.batch = options->batch;
    constraints.objective = report::parse_objective(options->objective);
    run(*options);
  });
}

}  // namespace fluxq::cli
