/// `fluxq quantize`: a diffusers folder with packed weights.
#include "pipeline/quantize.h"

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "fluxq/engine.h"
#include "pipeline/model_recipe.h"

namespace fluxq::cli {
namespace {

struct Options {
  std::string model = "emoji-flux", scheme;
  std::filesystem::path recipe, output;
  uint64_t max_shard_bytes = PartWriter::kDefaultShardBytes;
  bool json = false;
};

void run(const Options& options, const Session& session) {
  ProgressBar progress(session);
  const ModelFolder model = read_model_folder(find_model(options.model), progress);
  const Recipe recipe = choose_recipe(model, options.scheme, options.recipe);
  const QuantizeResult result = quantize_folder(model, recipe, options.output, progress,
                                                session.cancel, options.max_shard_bytes);
  int64_t packed = 0;
  for (const LayerCoverage& layer : result.layers) packed += layer.reason.empty();
  if (options.json) {
    print_json({{"output", options.output.string()},
                {"scheme", recipe.main().info().name},
                {"recipe", recipe.name()},
                {"parts", result.parts},
                {"layers", result.layers.size()},
                {"layers_in_scheme", packed},
                {"input_bytes", result.input_bytes},
                {"output_bytes", result.output_bytes}});
    return;
  }
  print(fmt::format("{}: {} of {} layers in {}, {} became {}\n", options.output.string(), packed,
                    result.layers.size(), recipe.main().info().name,
                    format_bytes(result.input_bytes), format_bytes(result.output_bytes)));
}

}  // namespace

void add_quantize(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("quantize", "Write a model folder with packed weights");
  command->footer("Example: fluxq quantize --scheme int8dq -o emoji-flux-int8");
  command->add_option("-m,--model", options->model, "A diffusers folder or a model's name")
      ->capture_default_str();
  command->add_option("--scheme", options->scheme, "Quantization scheme (fluxq schemes)")
      ->required();
  command->add_option("--recipe", options->recipe, "A recipe file: which layer gets which scheme");
  command->add_option("-o,--output", options->output, "The new folder")->required();
  command
      ->add_option("--max-shard-size", options->max_shard_bytes,
                   "Bytes of a weight file before another one begins (5GB)")
      ->transform(CLI::AsSizeValue(true));
  command->add_flag("--json", options->json, "One JSON object on standard output");
  command->callback([options, &session] { run(*options, session); });
}

}  // namespace fluxq::cli
