/// `fluxq distort`: where a scheme's error comes from, layer by layer.
#include "pipeline/distort.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "fluxq/engine.h"
#include "pipeline/open_device.h"

namespace fluxq::cli {
namespace {

constexpr double kPercent = 100;

struct Options {
  std::string model = "emoji-flux", device = "cpu";
  std::vector<std::string> prompts = {"red apple"}, schemes;
  std::filesystem::path recipe;
  uint64_t seed = 0;
  std::optional<int> steps, width, height;
  int threads = 0;
  size_t most_lines = 0;  // 0: all
  bool json = false;
};

double percent(int64_t count, int64_t of) {
  return of == 0 ? 0 : kPercent * static_cast<double>(count) / static_cast<double>(of);
}

/// "38.1", or "exact" where nothing differs.
std::string decibels(const Deviation& deviation) {
  const double snr = deviation.snr_db();
  return std::isfinite(snr) ? fmt::format("{:.1f}", snr) : "exact";
}

/// "to_q", or "proj_out[:, 256:1280]" for a layer whose input lies in several buffers.
std::string name_of(const LayerDistortion& layer) {
  if (layer.in_count == layer.in) return layer.layer;
  return fmt::format("{}[:, {}:{}]", layer.layer, layer.in_begin, layer.in_begin + layer.in_count);
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json to_json(const LayerDistortion& layer) {
  return {{"layer", layer.layer},
          {"scheme", layer.scheme},
          {"out", layer.out},
          {"in", layer.in},
          {"in_begin", layer.in_begin},
          {"in_count", layer.in_count},
          {"weight_snr_db", number(layer.weight.snr_db())},
          {"zeroed", layer.zeroed},
          {"saturated", layer.saturated},
          {"input_snr_db", number(layer.input.snr_db())},
          {"inputs", layer.inputs},
          {"inputs_zeroed", layer.inputs_zeroed},
          {"output_snr_db", number(layer.output.snr_db())},
          {"output_error", number(layer.output.relative())}};
}

/// One line for each scheme: its middle and its worst layer, and what of it is to blame.
std::string summary(const std::vector<LayerDistortion>& layers) {
  std::map<std::string, std::vector<const LayerDistortion*>> by_scheme;  // each worst first
  for (const LayerDistortion& layer : layers) by_scheme[layer.scheme].push_back(&layer);
  std::string text;
  for (const auto& [scheme, lines] : by_scheme) {
    const auto from_input = std::ranges::count_if(lines, [](const LayerDistortion* layer) {
      return layer->input.relative() > layer->weight.relative();
    });
    text += fmt::format(
        "{}: output error {:.3g} % in the middle layer, {:.3g} % in the worst, {}; in {} of {} "
        "layers the input's quantization costs more than the weight's\n",
        scheme, kPercent * lines[lines.size() / 2]->output.relative(),
        kPercent * lines.front()->output.relative(), name_of(*lines.front()), from_input,
        lines.size());
  }
  return text;
}

std::string table(const std::vector<LayerDistortion>& layers, size_t most_lines) {
  size_t width = 0;
  for (const LayerDistortion& layer : layers) width = std::max(width, name_of(layer).size());
  std::string text = fmt::format(
      "{:<{}}  {:<15}  {:>8}  {:>8}  {:>8}  {:>8}  {:>9}  {:>8}  {:>8}\n", "layer", width, "scheme",
      "output", "output", "weight", "weight", "weight", "input", "input");
  text +=
      fmt::format("{:<{}}  {:<15}  {:>8}  {:>8}  {:>8}  {:>8}  {:>9}  {:>8}  {:>8}\n", "", width,
                  "", "error %", "SNR dB", "SNR dB", "zeroed %", "saturated", "SNR dB", "zeroed %");
  for (const LayerDistortion& layer :
       std::span(layers).first(std::min(most_lines, layers.size()))) {
    text += fmt::format(
        "{:<{}}  {:<15}  {:>8.3f}  {:>8}  {:>8}  {:>8.3f}  {:>9}  {:>8}  {:>8.3f}\n",
        name_of(layer), width, layer.scheme, kPercent * layer.output.relative(),
        decibels(layer.output), decibels(layer.weight), percent(layer.zeroed, layer.out * layer.in),
        layer.saturated, decibels(layer.input), percent(layer.inputs_zeroed, layer.inputs));
  }
  return text;
}

void run(const Options& options, const Session& session) {
  ProgressBar progress(session);
  const std::unique_ptr<Kernels> kernels = open_device(options.device, options.threads);
  std::vector<const Scheme*> schemes;
  for (const std::string& name : options.schemes) {
    const Scheme& scheme = find_scheme(name);
    if (!scheme.runs_on(kernels->device())) fail_no_kernels(scheme, kernels->device());
    if (std::ranges::find(schemes, &scheme) == schemes.end()) schemes.push_back(&scheme);
  }
  if (schemes.empty()) schemes = distortable_schemes(kernels->device());

  const ModelFolder model = read_model_folder(find_model(options.model), progress);
  std::vector<Request> requests;
  for (const std::string& prompt : options.prompts)
    requests.push_back({.prompt = prompt,
                        .seeds = {options.seed},
                        .steps = options.steps.value_or(model.defaults.steps),
                        .width = options.width.value_or(model.defaults.width),
                        .height = options.height.value_or(model.defaults.height),
                        .guidance = model.defaults.guidance,
                        .max_text_tokens = model.defaults.max_text_tokens});
  const std::vector<LayerDistortion> layers =
      distort(model, schemes, options.recipe, requests, *kernels, progress, session.cancel);
  if (options.json) {
    Json lines = Json::array();
    for (const LayerDistortion& layer : layers) lines.push_back(to_json(layer));
    print_json({{"model", model.name},
                {"prompts", options.prompts},
                {"seed", options.seed},
                {"layers", lines}});
    return;
  }
  const size_t shown = options.most_lines > 0 ? options.most_lines : layers.size();
  print(table(layers, shown) + "\n" + summary(layers));
}

}  // namespace

void add_distort(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "distort", "Show where a scheme's error comes from, layer by layer, on a real generation");
  command->footer("Example: fluxq distort --schemes int8dq,fp8dqrow --top 20");
  command->add_option("PROMPT", options->prompts, "What to draw; several take all their inputs")
      ->capture_default_str();
  command->add_option("-m,--model", options->model, "A diffusers folder or a model's name")
      ->capture_default_str();
  command
      ->add_option("--schemes", options->schemes,
                   "Schemes to study, separated by commas [all that compute in bf16]")
      ->delimiter(',');
  command->add_option("--recipe", options->recipe, "A recipe file: which layers get the scheme");
  command->add_option("--seed", options->seed, "Seed of the pictures")->capture_default_str();
  command->add_option("--steps", options->steps, "Denoising steps [from the model: 4 or 28]");
  command->add_option("--width", options->width, "Pixels, a multiple of 16 [from the model]");
  command->add_option("--height", options->height, "Pixels, a multiple of 16 [from the model]");
  command->add_option("--top", options->most_lines, "Show the worst lines only [all]");
  command->add_option("--threads", options->threads, "CPU threads [all cores]")
      ->check(CLI::Range(0, 1024));
  command->add_option("--device", options->device, "cpu or cuda")->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object on standard output");
  command->callback([options, &session] { run(*options, session); });
}

}  // namespace fluxq::cli
