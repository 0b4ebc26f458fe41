/// The public Engine: options to a pipeline, a request with the model's defaults filled in,
/// pictures with their story.
#include "fluxq/engine.h"

#include <future>

#include "base/text.h"
#include "fluxq/version.h"
#include "pipeline/model_recipe.h"
#include "pipeline/model_weights.h"
#include "pipeline/open_device.h"
#include "pipeline/stage_dump.h"
#include "pipeline/text_to_image.h"

namespace fluxq {
namespace {

Progress& silent() {
  static Progress progress;
  return progress;
}

const CancelToken& never() {
  static const CancelToken token;
  return token;
}

}  // namespace

struct Engine::Implementation {
  Implementation(const EngineOptions& engine_options, Progress& progress, const CancelToken& cancel)
      : options(engine_options), kernels(open_device(options.device, options.threads)) {
    ModelFolder model = read_model_folder(find_model(options.model), progress);
    const Recipe recipe = choose_recipe(model, options.scheme, options.recipe);
    scheme = recipe.main().info().name;
    // The hash reads the same files as the loader: the second reader finds them in the page cache.
    std::future<std::string> hash = std::async(
        std::launch::async, [model, &cancel] { return model_weights_sha256(model, 1, cancel); });
    pipeline = std::make_unique<TextToImage>(std::move(model), recipe, *kernels, progress, cancel);
    weights_hash = hash.get();
    if (!options.weights_sha256.empty() && weights_hash != options.weights_sha256) {
      fail(ErrorCode::bad_argument, "the model {}: expected weights with sha256 {}, got {}",
           pipeline->model().path.string(), options.weights_sha256, weights_hash);
    }
  }

  Request resolve(const GenerateOptions& generate) const {
    if (generate.batch < 1)
      fail(ErrorCode::bad_argument, "batch: expected 1 or more, got {}", generate.batch);
    if (generate.prompt.find('\0') != std::string::npos)  // a picture's metadata cannot hold it
      fail(ErrorCode::bad_argument, "prompt: expected text without NUL, got {}",
           in_quotes(generate.prompt));
    const GenerationDefaults& defaults = pipeline->model().defaults;
    Request request{.prompt = generate.prompt,
                    .seeds = {},
                    .steps = generate.steps.value_or(defaults.steps),
                    .width = generate.width.value_or(defaults.width),
                    .height = generate.height.value_or(defaults.height),
                    .guidance = generate.guidance.value_or(defaults.guidance),
                    .max_text_tokens = generate.max_text_tokens.value_or(defaults.max_text_tokens)};
    for (int i = 0; i < generate.batch; ++i)
      request.seeds.push_back(generate.seed + static_cast<uint64_t>(i));
    return request;
  }

  PictureInfo info(const Request& request, uint64_t seed) const {
    const ModelFolder& model = pipeline->model();
    return {.prompt = request.prompt,
            .seed = seed,
            .steps = request.steps,
            .width = request.width,
            .height = request.height,
            .guidance = request.guidance,
            .max_text_tokens = request.max_text_tokens,
            .scheme = scheme,
            .recipe = options.recipe.string(),
            .sampler = sampler_name(model.scheduler),
            .model = model.name,
            .weights_sha256 = weights_hash,
            .version = std::string(version())};
  }

  EngineOptions options;
  std::string scheme;
  std::unique_ptr<Kernels> kernels;
  std::unique_ptr<TextToImage> pipeline;
  std::string weights_hash;
};

Engine::Engine(const EngineOptions& options, Progress* progress, const CancelToken* cancel)
    : implementation_(std::make_unique<Implementation>(options, progress ? *progress : silent(),
                                                       cancel ? *cancel : never())) {}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

std::vector<Picture> Engine::generate(const GenerateOptions& options, Progress* progress,
                                      const CancelToken* cancel) {
  const Request request = implementation_->resolve(options);
  StageDump dump;
  Run run = implementation_->pipeline->run(request, progress ? *progress : silent(),
                                           cancel ? *cancel : never(),
                                           options.dump.empty() ? nullptr : &dump);
  if (!options.dump.empty()) dump.save(options.dump);
  std::vector<Picture> pictures;
  for (size_t i = 0; i < run.images.size(); ++i) {
    pictures.push_back(
        {std::move(run.images[i]), implementation_->info(request, request.seeds[i])});
  }
  return pictures;
}

}  // namespace fluxq
