#include "pipeline/text_to_image.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/host_memory.h"
#include "base/text.h"
#include "pipeline/memory_plan.h"
#include "pipeline/model_weights.h"
#include "sampling/latents.h"
#include "sampling/noise.h"

namespace fluxq {
namespace {

constexpr int64_t kMaxPixels = int64_t{1} << 26;  // 8192 x 8192
constexpr int kMaxBatch = 1024;

/// Milliseconds since it was made or last asked.
class Stopwatch {
 public:
  double lap_ms() {
    const auto now = std::chrono::steady_clock::now();
    const double ms = std::chrono::duration<double, std::milli>(now - last_).count();
    last_ = now;
    return ms;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// The values of rows, packed and converted to f32 on the host: [batch, rows, cols].
Tensor copy_to_host(Kernels& kernels, const Rows& rows) {
  Arena::Scope scope(kernels.arena());
  const Tensor packed = kernels.arena().take(DType::f32, {rows.batch, rows.rows, rows.cols});
  kernels.produce({.x = rows}, packed);
  return converted(kernels.download(packed), DType::f32);
}

/// pictures [B, H, W, 3] in -1..1 as f32 [B, 3, H, W] in 0..1.
Tensor planes_of(const Tensor& pictures) {
  const Tensor values = converted(pictures, DType::f32);
  const int64_t batch = values.dim(0), plane = values.dim(1) * values.dim(2);
  const Tensor planes = Tensor::on_host(DType::f32, {batch, 3, values.dim(1), values.dim(2)});
  for (int64_t i = 0; i < batch * plane; ++i)
    for (int64_t c = 0; c < 3; ++c) {
      const float value = values.data<float>()[i * 3 + c] * 0.5f + 0.5f;
      planes.data<float>()[(i / plane * 3 + c) * plane + i % plane] = std::clamp(value, 0.0f, 1.0f);
    }
  return planes;
}

/// Lets the kernels see the token for as long as this lives.
class Watch {
 public:
  Watch(Kernels& kernels, const CancelToken& cancel) : kernels_(kernels) {
    kernels_.watch(&cancel);
  }
  ~Watch() { kernels_.watch(nullptr); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  Kernels& kernels_;
};

/// One matrix shown `batch` times.
Rows repeated(const Tensor& tensor, int64_t batch) {
  Rows rows = tensor;
  rows.batch = batch;
  rows.batch_stride = 0;
  return rows;
}

}  // namespace

TextToImage::TextToImage(ModelFolder model, const Recipe& recipe, Kernels& kernels,
                         Progress& progress, const CancelToken& cancel)
    : model_(std::move(model)), recipe_(recipe), kernels_(kernels), schemes_(kernels) {
  check_fits(plan_weights(model_, recipe_), available_memory_bytes(), model_.name);
  clip_tokenizer_ = load_clip_bpe(model_.path / "tokenizer");
  t5_tokenizer_ = load_t5_unigram(model_.path / "tokenizer_2");
  const auto fits = [&](std::string_view what, const Tokenizer& tokenizer, int64_t vocabulary) {
    if (tokenizer.vocab_size() > vocabulary) {
      fail(ErrorCode::corrupt_file,
           "{}: {}: expected token ids below the encoder's {}, got up to {}", model_.path.string(),
           what, vocabulary, tokenizer.vocab_size() - 1);
    }
  };
  fits("tokenizer", *clip_tokenizer_, model_.clip.vocabulary);
  fits("tokenizer_2", *t5_tokenizer_, model_.t5.vocabulary);
  model_.defaults.max_text_tokens =
      std::min(model_.defaults.max_text_tokens, t5_tokenizer_->model_max_length());

  const auto load = [&](const std::string& part, auto& made, const auto& config) {
    const std::unique_ptr<TensorSource> tensors = open_tensors(model_, part);
    for (const std::string& warning : tensors->warnings()) progress.warn(warning);
    WeightLoader loader(*tensors, part, recipe_, schemes_, progress, cancel);
    made = std::make_unique<typename std::decay_t<decltype(made)>::element_type>(config, loader);
    coverage_.insert(coverage_.end(), loader.coverage().begin(), loader.coverage().end());
    part_bytes_[part] = loader.resident_bytes();
    quantize_ms_ += loader.pack_ms();
  };
  load("text_encoder", clip_, model_.clip);
  load("text_encoder_2", t5_, model_.t5);
  load("transformer", flux_, model_.flux);
  load("vae", vae_, model_.vae);
  std::vector<std::string> layers;
  for (const LayerCoverage& layer : coverage_) layers.push_back(layer.layer);
  recipe_.check_used(layers);
}

void TextToImage::check(const Request& request) const {
  const int step = model_.size_step();
  const auto refuse = [](std::string_view what, std::string_view expected, auto got) {
    fail(ErrorCode::bad_argument, "{}: expected {}, got {}", what, expected, got);
  };
  const auto check_side = [&](std::string_view what, int pixels) {
    if (pixels < step || pixels % step != 0 || pixels > (1 << 14)) {
      refuse(what, fmt::format("a multiple of {} from {} to {}", step, step, 1 << 14), pixels);
    }
  };
  check_side("width", request.width);
  check_side("height", request.height);
  const int64_t pixels = int64_t{request.width} * request.height;
  if (pixels > kMaxPixels)
    refuse("width x height", fmt::format("at most {} pixels", kMaxPixels), pixels);
  if (request.steps < 1 || request.steps > kMaxSteps)
    refuse("steps", fmt::format("1 to {}", kMaxSteps), request.steps);
  if (request.seeds.empty() || request.seeds.size() > kMaxBatch)
    refuse("batch", fmt::format("1 to {}", kMaxBatch), request.seeds.size());
  if (!std::isfinite(request.guidance) || std::abs(request.guidance) > 1000)
    refuse("guidance", "a number from -1000 to 1000", request.guidance);
  if (request.max_text_tokens < 1 || request.max_text_tokens > 4096)
    refuse("max-text-tokens", "1 to 4096", request.max_text_tokens);
}

TextToImage::Text TextToImage::encode(const Request& request, Progress& progress,
                                      const CancelToken& cancel) {
  const auto warn_if_cut = [&](const TokenIds& tokens, std::string_view encoder) {
    if (tokens.total <= static_cast<int64_t>(tokens.ids.size())) return;
    progress.warn(fmt::format("the prompt has {} tokens, {} reads {}; cut: {}", tokens.total,
                              encoder, tokens.ids.size(), in_quotes(tokens.cut_text)));
  };
  const auto tensor = [](const TokenIds& tokens) {
    return Tensor::from(tokens.ids, {1, static_cast<int64_t>(tokens.ids.size())});
  };
  const TokenIds clip = clip_tokenizer_->encode(
      request.prompt, static_cast<int>(std::min<int64_t>(model_.clip.positions,
                                                         clip_tokenizer_->model_max_length())));
  const TokenIds t5 = t5_tokenizer_->encode(request.prompt, request.max_text_tokens);
  warn_if_cut(t5, "the T5 encoder");
  warn_if_cut(clip, "the CLIP encoder");
  Text text;
  text.pooled = kernels_.arena().take(recipe_.stream(), {1, 1, model_.clip.width});
  clip_->encode(tensor(clip), text.pooled, cancel);
  text.prompt_embeds =
      kernels_.arena().take(recipe_.stream(), {1, request.max_text_tokens, model_.t5.width});
  t5_->encode(tensor(t5), text.prompt_embeds, cancel);
  return text;
}

void TextToImage::check_finite(const Rows& values, std::string_view what) const {
  if (!kernels_.all_finite(values)) {
    fail(ErrorCode::numeric, "{}: expected finite values, got NaN or infinity (scheme {})", what,
         recipe_.main().info().name);
  }
}

Tensor TextToImage::draw_latents(const Request& request, StageObserver* observer) {
  const int64_t batch = static_cast<int64_t>(request.seeds.size());
  const int64_t channels = model_.vae.latent_channels;
  const int64_t height = request.height / model_.vae.scale(),
                width = request.width / model_.vae.scale();
  const int64_t size = channels * height * width;
  const Tensor noise = Tensor::on_host(DType::f32, {batch, channels, height, width});
  const Tensor tokens =
      Tensor::on_host(DType::f32, {batch, height / 2 * (width / 2), 4 * channels});
  for (int64_t i = 0; i < batch; ++i) {
    const std::span<float> item(noise.data<float>() + i * size, static_cast<size_t>(size));
    draw_noise(request.seeds[static_cast<size_t>(i)], item);
    pack_latents(item, channels, height, width,
                 {tokens.data<float>() + i * size, static_cast<size_t>(size)});
  }
  if (observer) observer->stage("noise", noise);
  const Tensor latents = kernels_.arena().take(recipe_.stream(), tokens.shape());
  kernels_.copy_to(converted(tokens, recipe_.stream()), latents);
  return latents;
}

std::vector<Image> TextToImage::decode(const Request& request, const Rows& latents,
                                       const CancelToken& cancel, StageObserver* observer) {
  const int64_t batch = latents.batch, height = request.height, width = request.width,
                plane = height * width;
  const Tensor decoded = kernels_.arena().take(recipe_.stream(), {batch, height, width, 3});
  vae_->decode(latents, height / model_.size_step(), width / model_.size_step(), decoded, cancel);
  check_finite(decoded.reshaped({1, batch * plane, 3}), "the decoded picture");
  const Tensor on_device = kernels_.arena().take(DType::u8, decoded.shape());
  kernels_.to_rgb8(decoded, on_device);
  const Tensor rgb = kernels_.download(on_device);
  std::vector<Image> images;
  for (int64_t b = 0; b < batch; ++b) {
    const auto* from = static_cast<const uint8_t*>(rgb.raw()) + b * 3 * plane;
    images.push_back(
        {.width = request.width, .height = request.height, .rgb = {from, from + 3 * plane}});
  }
  if (observer) observer->stage("image", planes_of(kernels_.download(decoded)));
  return images;
}

// Steps come again with the same operands as long as everything that shapes them is the same: the
// arena then places all tensors where they were, and the sigmas follow from these numbers too.
void TextToImage::forget_other_recordings(const Request& request) {
  const std::vector<int64_t> shape = {static_cast<int64_t>(request.seeds.size()), request.width,
                                      request.height, request.max_text_tokens, request.steps};
  if (shape == recorded_shape_) return;
  recorded_shape_ = shape;
  recorded_steps_.assign(static_cast<size_t>(request.steps), nullptr);
}

Run TextToImage::run(const Request& request, Progress& progress, const CancelToken& cancel,
                     StageObserver* observer) {
  check(request);
  const int64_t batch = static_cast<int64_t>(request.seeds.size());
  MemoryPlan plan;
  plan_activations(plan, model_, recipe_, batch, request.width, request.height,
                   request.max_text_tokens);
  check_fits(plan, available_memory_bytes() + kernels_.arena().reserved_bytes(), "generate");

  Run run;
  const Watch watch(kernels_, cancel);
  Stopwatch total, lap;
  Arena::Scope scope(kernels_.arena());
  const auto show = [&](const std::string& name, const Rows& rows, Shape shape) {
    if (observer) observer->stage(name, copy_to_host(kernels_, rows).reshaped(std::move(shape)));
  };
  progress.begin("generate", request.steps + 2);
  const Text text = encode(request, progress, cancel);
  // While an asynchronous device encodes.
  const Tensor latents = draw_latents(request, observer);
  check_finite(text.prompt_embeds, "the T5 encoder's output");
  check_finite(text.pooled, "the CLIP encoder's output");
  run.times.text_ms = lap.lap_ms();
  progress.update(1);

  const int64_t token_rows = request.height / model_.size_step(),
                token_cols = request.width / model_.size_step();
  const std::vector<float> sigmas =
      flow_match_sigmas(model_.scheduler, request.steps, token_rows * token_cols);
  std::vector<float> times;
  for (int step = 0; step < request.steps; ++step)
    times.push_back(transformer_timestep(model_.scheduler, sigmas[static_cast<size_t>(step)]));
  const FluxTransformer::Conditioning conditioning =
      flux_->condition({.times = times,
                        .guidance = static_cast<float>(request.guidance),
                        .prompt_embeds = repeated(text.prompt_embeds, batch),
                        .pooled = repeated(text.pooled, batch),
                        .height = token_rows,
                        .width = token_cols});
  if (observer) {
    observer->stage("prompt_embeds", copy_to_host(kernels_, repeated(text.prompt_embeds, batch)));
    observer->stage(
        "pooled_prompt_embeds",
        copy_to_host(kernels_, repeated(text.pooled, batch)).reshaped({batch, model_.clip.width}));
    observer->stage("sigmas", Tensor::from(sigmas, {static_cast<int64_t>(sigmas.size())}));
  }
  kernels_.synchronize();
  run.times.condition_ms = lap.lap_ms();

  forget_other_recordings(request);
  const Tensor velocity = kernels_.arena().take(recipe_.stream(), latents.shape());
  for (int step = 0; step < request.steps; ++step) {
    cancel.check();
    const auto i = static_cast<size_t>(step);
    kernels_.run_recorded(recorded_steps_[i], [&] {
      flux_->velocity(conditioning, step, latents, velocity, cancel);
      kernels_.euler_step(velocity, sigmas[i], sigmas[i + 1], latents);
    });
    check_finite(latents, fmt::format("the latents after step {}", step));
    run.times.step_ms.push_back(lap.lap_ms());
    show(fmt::format("velocity.{}", step), velocity, velocity.shape());
    show(fmt::format("latents.{}", step), latents, latents.shape());
    if (observer) lap.lap_ms();
    progress.update(step + 2);
  }
  run.images = decode(request, latents, cancel, observer);
  run.times.vae_ms = lap.lap_ms();
  run.times.total_ms = total.lap_ms();
  progress.update(request.steps + 2);
  return run;
}

}  // namespace fluxq
