#include "bench/draw.h"

#include "base/file.h"
#include "base/sha256.h"
#include "bench/plan.h"
#include "bench/run_files.h"
#include "fluxq/version.h"
#include "image/png.h"
#include "metrics/drift.h"
#include "metrics/flags.h"
#include "metrics/flip.h"
#include "metrics/psnr.h"
#include "metrics/ssim.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

/// Keeps the latents after each step.
class LatentKeeper final : public StageObserver {
 public:
  void stage(std::string_view name, const Tensor& values) override {
    if (name.starts_with("latents.")) steps_.push_back(values);
  }
  const std::vector<Tensor>& steps() const { return steps_; }

 private:
  std::vector<Tensor> steps_;
};

PictureInfo story(const TextToImage& pipeline, const LoadOrder& load, const Request& request) {
  return {.prompt = request.prompt,
          .seed = request.seeds.front(),
          .steps = request.steps,
          .width = request.width,
          .height = request.height,
          .guidance = request.guidance,
          .max_text_tokens = request.max_text_tokens,
          .scheme = load.scheme,
          .recipe = recipe_file_of(load.plan, load.scheme),
          .sampler = sampler_name(pipeline.model().scheduler),
          .model = pipeline.model().name,
          .weights_sha256 = load.weights_sha256,
          .version = std::string(version()),
          .device = load.device,
          .attention = attention_of(load.plan, load.scheme)};
}

void compare_pictures(const Image& image, const Image& reference, PictureResult& result) {
  result.psnr_db = psnr(image, reference);
  if (image.width >= kMinSsimSide && image.height >= kMinSsimSide)
    result.ssim = ssim(image, reference);
  result.flip = flip(reference, image).mean;
}

/// Step by step up to the first that has no drift (infinite latents).
void compare_latents(const std::vector<Tensor>& steps, const fs::path& file,
                     PictureResult& result) {
  const std::vector<std::vector<float>> reference =
      read_latents(file, static_cast<int>(steps.size()), steps.front().elements());
  for (size_t step = 0; step < steps.size(); ++step)
    result.latent_drift.push_back(relative_drift(to_floats(steps[step]), reference[step]));
}

}  // namespace

PictureResult draw_picture(TextToImage& pipeline, const LoadOrder& load, const PictureOrder& order,
                           Progress& progress, const CancelToken& cancel) {
  const Plan& plan = load.plan;
  PictureResult result = order.what;
  result.scheme = load.scheme;
  if (static_cast<size_t>(result.prompt) >= plan.prompts.size())
    fail(ErrorCode::bad_argument, "prompt {}: the plan has {}", result.prompt, plan.prompts.size());
  const Request request{.prompt = plan.prompts[static_cast<size_t>(result.prompt)],
                        .seeds = {result.seed},
                        .steps = plan.steps,
                        .width = result.width,
                        .height = result.height,
                        .guidance = plan.guidance,
                        .max_text_tokens = plan.max_text_tokens};
  LatentKeeper latents;
  Image image;
  try {
    image = std::move(pipeline.run(request, progress, cancel, &latents).images.front());
  } catch (const Error& error) {
    if (error.code() != ErrorCode::numeric) throw;
    progress.warn(error.what());
    result.has_nan = true;
    return result;
  }
  result.black = is_black(image);
  result.constant = is_constant(image);

  const PictureInfo info = story(pipeline, load, request);
  const std::vector<std::byte> png = encode_png(image, &info);
  result.file = picture_file(result);
  const fs::path file = load.run_folder / result.file;
  std::error_code error;
  fs::create_directories(file.parent_path(), error);  // writing says what went wrong
  atomic_write(file, png);
  result.sha256 = sha256_hex({reinterpret_cast<const char*>(png.data()), png.size()});
  progress.begin("compare", 0);

  const bool is_baseline = load.scheme == kBaseline && !order.seed_change;
  if (is_baseline) {
    write_latents(latents_file(load.run_folder, result), latents.steps());
    return result;
  }
  if (result.black || result.constant) return result;
  PictureResult reference = result;
  reference.scheme = kBaseline;
  if (order.seed_change) reference.seed = plan.seeds.front();
  // Without a reference that shows something there are no figures.
  const fs::path reference_file = load.run_folder / picture_file(reference);
  if (!fs::exists(reference_file, error)) return result;
  const Image reference_image = read_png(reference_file).image;
  if (is_constant(reference_image)) return result;
  compare_pictures(image, reference_image, result);
  progress.begin("compare", 0);
  const fs::path reference_latents = latents_file(load.run_folder, reference);
  if (fs::exists(reference_latents, error))
    compare_latents(latents.steps(), reference_latents, result);
  return result;
}

}  // namespace fluxq
