/// `fluxq coverage`: what each linear layer of a model runs as, and why an exception is one.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "fluxq/engine.h"
#include "pipeline/model_recipe.h"
#include "pipeline/open_device.h"
#include "pipeline/text_to_image.h"

namespace fluxq::cli {
namespace {

struct Options {
  std::string model = "emoji-flux", scheme, device = "auto";
  std::filesystem::path recipe;
  int threads = 0;
  bool json = false;
};

std::string fused_parts(const FusedParts& fused) {
  std::string text;
  const auto add = [&](bool is_fused, std::string_view name) {
    if (is_fused) text += fmt::format("{}{}", text.empty() ? "" : "+", name);
  };
  add(fused.bias, "bias");
  add(fused.act, "act");
  add(fused.gate, "gate");
  add(fused.residual, "residual");
  add(fused.heads, "heads");
  return text.empty() ? "-" : text;
}

Json to_json(const LayerCoverage& layer) {
  return {{"layer", layer.layer},
          {"scheme", layer.scheme},
          {"reason", layer.reason},
          {"out", layer.out},
          {"in", layer.in},
          {"packed_bytes", layer.packed_bytes},
          {"resident_bytes", layer.resident_bytes},
          {"kernel", layer.kernel},
          {"fused", fused_parts(layer.fused)}};
}

void run(const Options& options, const Session& session) {
  ProgressBar progress(session);
  const ModelFolder model = read_model_folder(find_model(options.model), progress);
  const Recipe recipe = choose_recipe(model, options.scheme, options.recipe);
  const std::unique_ptr<Kernels> kernels = open_device(options.device, options.threads);
  const TextToImage pipeline(model, recipe, *kernels, progress, session.cancel);
  int64_t packed_bytes = 0, resident_bytes = 0;
  Json layers = Json::array();
  std::string text = fmt::format("{:<58} {:<16} {:>12} {:>12}  {:<38} {:<29} {}\n", "layer",
                                 "scheme", "packed", "resident", "kernel", "fused", "why");
  for (const LayerCoverage& layer : pipeline.coverage()) {
    packed_bytes += layer.packed_bytes;
    resident_bytes += layer.resident_bytes;
    layers.push_back(to_json(layer));
    text +=
        fmt::format("{:<58} {:<16} {:>12} {:>12}  {:<38} {:<29} {}\n", layer.layer, layer.scheme,
                    format_bytes(layer.packed_bytes), format_bytes(layer.resident_bytes),
                    layer.kernel, fused_parts(layer.fused), layer.reason);
  }
  if (options.json) {
    print_json({{"model", pipeline.model().name},
                {"scheme", recipe.main().info().name},
                {"recipe", recipe.name()},
                {"layers", layers},
                {"packed_bytes", packed_bytes},
                {"resident_bytes", resident_bytes}});
  } else {
    print(text + fmt::format("{} layers, {} packed, {} resident\n", pipeline.coverage().size(),
                             format_bytes(packed_bytes), format_bytes(resident_bytes)));
  }
}

}  // namespace

void add_coverage(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("coverage", "Show which scheme and kernel each layer gets, and why");
  command->footer("Example: fluxq coverage --scheme int8dq");
  command->add_option("-m,--model", options->model, "A diffusers folder or a model's name")
      ->capture_default_str();
  command->add_option("--scheme", options->scheme,
                      "Quantization scheme (fluxq schemes) [bf16, or as the model is stored]");
  command->add_option("--recipe", options->recipe, "A recipe file: which layer gets which scheme");
  command->add_option("--device", options->device, "auto, cpu or cuda")->capture_default_str();
  command->add_option("--threads", options->threads, "CPU threads [all cores]")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "One JSON object on standard output");
  command->callback([options, &session] { run(*options, session); });
}

}  // namespace fluxq::cli
