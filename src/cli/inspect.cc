/// `fluxq inspect`: what a model folder, a safetensors file or a picture is.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "fluxq/engine.h"
#include "image/png.h"
#include "pipeline/inspect.h"

namespace fluxq::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n";

bool is_png(const fs::path& path) {
  const InputFile file(path);
  std::string head(std::min<uint64_t>(kPngSignature.size(), file.size()), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(head)));
  return head == kPngSignature;
}

std::string text_of(const Inspection& inspection) {
  std::string text =
      fmt::format("{}: {}", inspection.name,
                  inspection.kind == "model"
                      ? "FLUX.1 " + inspection.variant + "-like model, layout " + inspection.layout
                      : "safetensors file");
  text += '\n';
  int64_t parameters = 0, bytes = 0;
  for (const TensorSummary& part : inspection.parts) {
    const size_t files = part.files.size();
    text += files == 0
                ? fmt::format("\n{} (made while it is loaded)\n", part.name)
                : fmt::format("\n{} ({} {})\n", part.name, files, files == 1 ? "file" : "files");
    for (const auto& [name, value] : part.facts) text += fmt::format("  {}: {}\n", name, value);
    std::string dtypes;
    for (const auto& [name, count] : part.dtypes) {
      dtypes += fmt::format("{}{} {:.1f} %", dtypes.empty() ? "" : ", ", name,
                            100.0 * static_cast<double>(count) /
                                static_cast<double>(std::max<int64_t>(part.parameters, 1)));
    }
    text +=
        fmt::format("  tensors: {}, parameters: {:.2f} M, bytes: {} ({})\n", part.tensors,
                    static_cast<double>(part.parameters) / 1e6, format_bytes(part.bytes), dtypes);
    parameters += part.parameters;
    bytes += part.bytes;
  }
  if (inspection.kind == "model") {
    text += fmt::format("\nin all: {:.2f} M parameters, {}\n",
                        static_cast<double>(parameters) / 1e6, format_bytes(bytes));
    text += "defaults: ";
    for (size_t i = 0; i < inspection.defaults.size(); ++i) {
      text += fmt::format("{}{} {}", i ? ", " : "", inspection.defaults[i].first,
                          inspection.defaults[i].second);
    }
    text += '\n';
  }
  for (const auto& [key, value] : inspection.metadata)
    text += fmt::format("metadata {}: {}\n", key, value);
  return text;
}

void show_picture(const fs::path& file, bool json) {
  const PictureInfo info = read_picture_info(read_png_bytes(file), file.string());
  if (json) {
    print_json({{"kind", "picture"},
                {"path", file.string()},
                {"info", parse_json(to_json(info), file.string())}});
    return;
  }
  print(
      fmt::format("{}: a picture made by fluxq {}\n  prompt: {}\n  seed: {}\n  steps: {}\n  size: "
                  "{} x {}\n  guidance: {}\n"
                  "  text tokens: {}\n  scheme: {}\n  recipe: {}\n  sampler: {}\n  model: {}\n  "
                  "weights sha256: {}\n  device: {}\n  attention: {}\n",
                  file.filename().string(), info.version, info.prompt, info.seed, info.steps,
                  info.width, info.height, info.guidance, info.max_text_tokens, info.scheme,
                  info.recipe.empty() ? "default" : info.recipe, info.sampler, info.model,
                  info.weights_sha256, info.device, info.attention));
}

void run(const std::string& target, bool json, const Session& session) {
  ProgressBar progress(session);
  const fs::path path = find_model(target);
  if (fs::is_directory(path)) {
    const Inspection inspection = inspect_model(path, progress);
    json ? print_json(to_json(inspection)) : print(text_of(inspection));
  } else if (is_png(path)) {
    show_picture(path, json);
  } else {
    const Inspection inspection = inspect_safetensors(path, progress);
    json ? print_json(to_json(inspection)) : print(text_of(inspection));
  }
}

}  // namespace

void add_inspect(CLI::App& app, Session& session) {
  struct Options {
    std::string path;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("inspect", "Say what a model folder, a safetensors file or a picture is");
  command->footer("Example: fluxq inspect models/emoji-flux --json");
  command
      ->add_option("PATH", options->path,
                   "A diffusers folder or model name, a .safetensors file, or a .png made by fluxq")
      ->required();
  command->add_flag("--json", options->json, "One JSON object on standard output");
  command->callback([options, &session] { run(options->path, options->json, session); });
}

}  // namespace fluxq::cli
