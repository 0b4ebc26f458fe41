/// The public Engine: options to a pipeline, a request with the model's defaults filled in,
/// pictures with their story.
#include "fluxq/engine.h"

#include <future>

#include "fluxq/version.h"
#include "pipeline/attention_precision.h"
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
    attention_precision(options.attention, kernels->device());  // before anything is read
    ModelFolder model = read_model_folder(find_model(options.model), progress);
    const Recipe recipe = choose_recipe(model, options.scheme, options.recipe);
    scheme = recipe.main().info().name;
    const Residency residency = options.low_memory ? Residency::by_phase : Residency::always;
    if (options.largest) {
      const Request request = resolve_request(*options.largest, model.defaults);
      check_request(request, model.size_step());
      const MemoryRequest memory = memory_of(request, residency);
      check_fits(plan_memory(model, recipe, memory, *kernels), model, recipe, memory, *kernels,
                 kernels->free_bytes());
    }
    const std::string attention = attention_that_runs(options.attention, kernels->device(),
                                                      recipe.stream(), model.flux.head_dim);
    if (attention != options.attention) progress.warn(attention_fallback(options.attention));
    options.attention = attention;
    // The hash reads the same files as the loader: the second reader finds them in the page cache.
    std::future<std::string> hash = std::async(
        std::launch::async, [model, &cancel] { return model_weights_sha256(model, 1, cancel); });
    pipeline =
        std::make_unique<TextToImage>(std::move(model), recipe, *kernels, progress, cancel,
                                      residency, attention_precision(attention, kernels->device()));
    weights_hash = hash.get();
    if (!options.weights_sha256.empty() && weights_hash != options.weights_sha256) {
      fail(ErrorCode::bad_argument, "the model {}: expected weights with sha256 {}, got {}",
           pipeline->model().path.string(), options.weights_sha256, weights_hash);
    }
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
            .version = std::string(version()),
            .device = std::string(device_name(kernels->device())),
            .attention = options.attention};
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
  const Request request = resolve_request(options, implementation_->pipeline->model().defaults);
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
