/// `fluxq generate`: prompts in, PNG files out.
#include <fmt/format.h>

#include <cctype>
#include <optional>
#include <set>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "fluxq/engine.h"
#include "image/png.h"
#include "image/sheet.h"
#include "pipeline/attention_precision.h"
#include "pipeline/memory_table.h"
#include "pipeline/model_recipe.h"
#include "pipeline/open_device.h"
#include "pipeline/request.h"

namespace fluxq::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxPromptFileBytes = 64 << 20;
constexpr size_t kSlugLength = 48;

struct Options {
  std::vector<std::string> prompts;
  fs::path prompts_file, like, output;
  bool sheet = false;
  EngineOptions engine;
  GenerateOptions generate;
  bool model_given = false, device_given = false;
  bool plan = false;
};

std::vector<std::string> read_prompts(const Options& options) {
  std::vector<std::string> prompts = options.prompts;
  if (!options.prompts_file.empty()) {
    const std::string text = read_text_file(options.prompts_file, kMaxPromptFileBytes);
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      std::string line = text.substr(begin, end - begin);
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.find_first_not_of(" \t") != std::string::npos) prompts.push_back(line);
      begin = end + 1;
    }
    if (prompts.empty())
      fail(ErrorCode::bad_argument, "{}: expected a prompt per line, found none",
           options.prompts_file.string());
  }
  if (prompts.empty())
    fail(ErrorCode::bad_argument,
         "generate: expected a prompt, --prompts FILE or --like PICTURE, got none");
  return prompts;
}

/// "Red apple!" -> "red-apple": letters, digits and dashes only, so a prompt never shapes a path.
std::string slug(std::string_view prompt) {
  std::string out;
  for (char c : prompt) {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) && u < 128) {
      out += static_cast<char>(std::tolower(u));
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
    if (out.size() >= kSlugLength) break;
  }
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out.empty() ? "picture" : out;
}

bool names_a_file(const fs::path& output) { return output.extension() == ".png"; }

/// Where pictures go, checked before any work: a file for one picture, a folder (made if its parent
/// exists) for many.
void prepare_output(const Options& options, size_t pictures) {
  const fs::path& output = options.output;
  if (output.empty())
    fail(ErrorCode::bad_argument, "--output: expected a .png file or a folder, got nothing");
  if (names_a_file(output)) {
    if (pictures != 1) {
      fail(ErrorCode::bad_argument, "--output {}: expected a folder for {} pictures, got a file",
           output.string(), pictures);
    }
    const fs::path folder = output.has_parent_path() ? output.parent_path() : ".";
    if (!fs::is_directory(folder))
      fail(ErrorCode::not_found, "--output {}: the folder {} does not exist", output.string(),
           folder.string());
    return;
  }
  std::error_code error;
  fs::create_directories(output, error);
  if (error)
    fail(ErrorCode::io, "--output {}: cannot make the folder: {}", output.string(),
         error.message());
}

/// Everything that a picture of fluxq says about itself. Returns the device that it was made on.
std::string take_from_picture(Options& options) {
  const PictureInfo info = read_picture_info(read_png_bytes(options.like), options.like.string());
  options.prompts = {info.prompt};
  options.engine.scheme = info.scheme;
  options.engine.recipe = info.recipe;
  options.engine.attention = info.attention;
  options.engine.weights_sha256 = info.weights_sha256;
  if (!options.model_given) options.engine.model = info.model;
  if (!options.device_given) options.engine.device = info.device;
  options.generate.seed = info.seed;
  options.generate.steps = info.steps;
  options.generate.width = info.width;
  options.generate.height = info.height;
  options.generate.guidance = info.guidance;
  options.generate.max_text_tokens = info.max_text_tokens;
  return info.device;
}

/// What the request needs, without loading anything: fails when it does not fit.
void show_plan(const Options& options, Progress& progress) {
  const EngineOptions& engine = options.engine;
  const std::unique_ptr<Kernels> kernels = open_device(engine.device, engine.threads);
  attention_precision(engine.attention, kernels->device());
  const ModelFolder model = read_model_folder(find_model(engine.model), progress);
  const Recipe recipe = choose_recipe(model, engine.scheme, engine.recipe);
  const Request request = resolve_request(options.generate, model.defaults);
  check_request(request, model.size_step());
  const MemoryRequest memory =
      memory_of(request, engine.low_memory ? Residency::by_phase : Residency::always);
  print(memory_table(model, recipe, memory, *kernels));
  check_fits(plan_memory(model, recipe, memory, *kernels), model, recipe, memory, *kernels,
             kernels->free_bytes());
}

void run(Options options, const Session& session) {
  std::string device_before;
  if (!options.like.empty()) device_before = take_from_picture(options);
  if (options.plan) {
    ProgressBar progress(session);
    show_plan(options, progress);
    return;
  }
  const std::vector<std::string> prompts = read_prompts(options);
  prepare_output(options,
                 prompts.size() * static_cast<size_t>(std::max(1, options.generate.batch)));

  ProgressBar progress(session);
  options.engine.largest = options.generate;
  Engine engine(options.engine, &progress, &session.cancel);
  std::vector<Image> images;
  std::set<std::string> names;
  for (const std::string& prompt : prompts) {
    GenerateOptions generate = options.generate;
    generate.prompt = prompt;
    for (Picture& picture : engine.generate(generate, &progress, &session.cancel)) {
      if (!device_before.empty() && picture.info.device != device_before)
        progress.warn(fmt::format("{} was made on {}, this picture on {}: their bytes may differ",
                                  options.like.string(), device_before, picture.info.device));
      fs::path file = options.output;
      if (!names_a_file(file)) {
        const std::string stem = fmt::format("{}-{}", slug(prompt), picture.info.seed);
        std::string name = stem;
        for (int copy = 2; !names.insert(name).second; ++copy)
          name = fmt::format("{}-{}", stem, copy);
        file /= name + ".png";
      }
      write_png(file, picture);
      print(file.string() + "\n");
      if (options.sheet) images.push_back(std::move(picture.image));
    }
  }
  if (options.sheet) {
    const fs::path file = options.output / "sheet.png";
    write_png(file, contact_sheet(images, 4, 8));
    print(file.string() + "\n");
  }
}

}  // namespace

void add_generate(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  options->output = "pictures";
  CLI::App* command = app.add_subcommand("generate", "Make pictures from prompts");
  command->footer(
      "Example: fluxq generate \"red apple\" --batch 4 -o apples\n"
      "         fluxq generate --like apples/red-apple-2.png -o same.png\n"
      "         fluxq generate --model synthetic:flux-dev --scheme int8dq --batch 8 --plan");
  EngineOptions& engine = options->engine;
  GenerateOptions& generate = options->generate;
  CLI::Option* prompt = command->add_option("PROMPT", options->prompts,
                                            "What to draw; several give several pictures");
  CLI::Option* file =
      command->add_option("--prompts", options->prompts_file, "A file with a prompt per line");
  CLI::Option* model =
      command->add_option("-m,--model", engine.model, "A diffusers folder or a model's name")
          ->capture_default_str();
  std::vector<CLI::Option*> shaping = {
      prompt,
      file,
      command->add_option("--scheme", engine.scheme,
                          "Quantization scheme (fluxq schemes) [bf16, or as the model is stored]"),
      command->add_option("--recipe", engine.recipe,
                          "A recipe file: which layer gets which scheme"),
      command
          ->add_option("--attention", engine.attention,
                       "What attention computes in: bf16, or on the GPU int8 or fp8")
          ->capture_default_str(),
      command->add_option("--steps", generate.steps, "Denoising steps [from the model: 4 or 28]"),
      command->add_option("--seed", generate.seed, "Seed of the first picture")
          ->capture_default_str(),
      command->add_option("--batch", generate.batch, "Pictures per prompt, with seeds S, S+1, ...")
          ->capture_default_str(),
      command->add_option("--width", generate.width, "Pixels, a multiple of 16 [from the model]"),
      command->add_option("--height", generate.height, "Pixels, a multiple of 16 [from the model]"),
      command->add_option("--guidance", generate.guidance,
                          "Guidance scale of a dev-like model [3.5]"),
      command->add_option("--max-text-tokens", generate.max_text_tokens,
                          "Tokens of the T5 text [from the model]")};
  CLI::Option* like =
      command->add_option("--like", options->like, "Make the picture of this PNG file again");
  for (CLI::Option* option : shaping) like->excludes(option);
  command->add_option("--threads", engine.threads, "CPU threads [all cores]")
      ->check(CLI::Range(0, 1024));
  CLI::Option* device =
      command
          ->add_option("--device", engine.device,
                       "auto (the GPU where there is one), cpu or cuda; with --like the picture's")
          ->capture_default_str();
  command->add_flag(
      "--low-memory", engine.low_memory,
      "Keep the weights of one phase at a time on the device; each prompt loads all anew");
  command->add_flag("--plan", options->plan,
                    "Only show what memory this would need and what would fit");
  command->add_option("--dump", generate.dump,
                      "Write every stage as DIR/stages.safetensors (one prompt)");
  CLI::Option* sheet =
      command->add_flag("--sheet", options->sheet, "Also write all pictures on one sheet.png");
  command->add_option("-o,--output", options->output, "A .png file for one picture, else a folder")
      ->capture_default_str();
  (void)sheet;
  command->callback([options, model, device, &session] {
    options->model_given = model->count() > 0;
    options->device_given = device->count() > 0;
    if (options->sheet && names_a_file(options->output)) {
      fail(ErrorCode::bad_argument, "--sheet: expected --output to name a folder, got the file {}",
           options->output.string());
    }
    run(*options, session);
  });
}

}  // namespace fluxq::cli
