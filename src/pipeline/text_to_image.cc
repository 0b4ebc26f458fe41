#include "pipeline/text_to_image.h"

#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "pipeline/model_weights.h"
#include "sampling/latents.h"
#include "sampling/noise.h"

namespace fluxq {
namespace {

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
                         Progress& progress, const CancelToken& cancel, Residency residency,
                         AttentionPrecision attention)
    : model_(std::move(model)),
      recipe_(recipe),
      kernels_(kernels),
      residency_(residency),
      attention_(attention) {
  // The smallest request.
  const MemoryRequest least = {.batch = 1,
                               .width = model_.size_step(),
                               .height = model_.size_step(),
                               .text_tokens = 1,
                               .residency = residency_};
  check_fits(plan_memory(model_, recipe_, least, kernels_), model_, recipe_, least, kernels_,
             kernels_.free_bytes());
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

  std::vector<std::string> layers;
  for (const auto& [part, weights] : weight_plans(model_))
    std::ranges::move(weights.layers(part), std::back_inserter(layers));
  recipe_.check_used(layers);
  parts_ = std::make_unique<ModelParts>(model_, recipe_, kernels_, residency_, progress, cancel);
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
  parts_->clip().encode(tensor(clip), text.pooled, cancel);
  text.prompt_embeds =
      kernels_.arena().take(recipe_.stream(), {1, request.max_text_tokens, model_.t5.width});
  parts_->t5().encode(tensor(t5), text.prompt_embeds, cancel);
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
  parts_->vae().decode(latents, height / model_.size_step(), width / model_.size_step(), decoded,
                       cancel);
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
// Where the arena or the transformer lies elsewhere, the shape is cleared.
void TextToImage::forget_other_recordings(const Request& request) {
  const std::vector<int64_t> shape = {static_cast<int64_t>(request.seeds.size()), request.width,
                                      request.height, request.max_text_tokens, request.steps};
  if (shape == recorded_shape_) return;
  recorded_shape_ = shape;
  recorded_steps_.assign(static_cast<size_t>(request.steps), nullptr);
}

// One block for all activations of the request, or an error before any work. What was planned too
// tightly is known after a first run.
void TextToImage::reserve(const MemoryRequest& request) {
  Arena& arena = kernels_.arena();
  const MemoryPlan plan = plan_memory(model_, recipe_, request, kernels_);
  parts_->leave();  // what a failed run left, by phase
  const int64_t weights_there = residency_ == Residency::always ? plan.weight_bytes() : 0;
  check_fits(plan, model_, recipe_, request, kernels_,
             kernels_.free_bytes() + arena.reserved_bytes() + weights_there);
  // By phase, decoding takes its own blocks beside it, which go here when the next run begins.
  const int64_t block = residency_ == Residency::always
                            ? std::max(plan.block_bytes, arena.peak_bytes())
                            : plan.block_bytes;
  if (arena.reserve(block)) recorded_shape_.clear();
}

Run TextToImage::run(const Request& request, Progress& progress, const CancelToken& cancel,
                     StageObserver* observer) {
  check_request(request, model_.size_step());
  const int64_t batch = static_cast<int64_t>(request.seeds.size());
  reserve(memory_of(request, residency_));
  Run run;
  const Watch watch(kernels_, cancel);
  Stopwatch total, lap;
  Arena::Scope scope(kernels_.arena());
  const auto show = [&](const std::string& name, const Rows& rows, Shape shape) {
    if (observer) observer->stage(name, copy_to_host(kernels_, rows).reshaped(std::move(shape)));
  };
  const auto enter = [&](Phase phase, int done) {
    const bool is_new = parts_->enter(phase, progress, cancel);
    if (is_new && phase == Phase::denoise) recorded_shape_.clear();
    if (done == 0 || is_new) progress.begin("generate", request.steps + 2);
    if (done > 0) progress.update(done);
  };
  enter(Phase::text, 0);
  const Text text = encode(request, progress, cancel);
  // While an asynchronous device encodes.
  const Tensor latents = draw_latents(request, observer);
  check_finite(text.prompt_embeds, "the T5 encoder's output");
  check_finite(text.pooled, "the CLIP encoder's output");
  run.times.text_ms = lap.lap_ms();
  enter(Phase::condition, 1);

  const int64_t token_rows = request.height / model_.size_step(),
                token_cols = request.width / model_.size_step();
  const std::vector<float> sigmas =
      flow_match_sigmas(model_.scheduler, request.steps, token_rows * token_cols);
  std::vector<float> times;
  for (int step = 0; step < request.steps; ++step)
    times.push_back(transformer_timestep(model_.scheduler, sigmas[static_cast<size_t>(step)]));
  const FluxTransformer::Conditioning conditioning =
      parts_->conditioner().condition({.times = times,
                                       .guidance = static_cast<float>(request.guidance),
                                       .prompt_embeds = repeated(text.prompt_embeds, batch),
                                       .pooled = repeated(text.pooled, batch),
                                       .height = token_rows,
                                       .width = token_cols,
                                       .attention = attention_});
  if (observer) {
    observer->stage("prompt_embeds", copy_to_host(kernels_, repeated(text.prompt_embeds, batch)));
    observer->stage(
        "pooled_prompt_embeds",
        copy_to_host(kernels_, repeated(text.pooled, batch)).reshaped({batch, model_.clip.width}));
    observer->stage("sigmas", Tensor::from(sigmas, {static_cast<int64_t>(sigmas.size())}));
  }
  kernels_.synchronize();
  enter(Phase::denoise, 1);
  run.times.condition_ms = lap.lap_ms();

  forget_other_recordings(request);
  const Tensor velocity = kernels_.arena().take(recipe_.stream(), latents.shape());
  for (int step = 0; step < request.steps; ++step) {
    cancel.check();
    const auto i = static_cast<size_t>(step);
    kernels_.run_recorded(recorded_steps_[i], [&] {
      parts_->flux().velocity(conditioning, step, latents, velocity, cancel);
      kernels_.euler_step(velocity, sigmas[i], sigmas[i + 1], latents);
    });
    check_finite(latents, fmt::format("the latents after step {}", step));
    run.times.step_ms.push_back(lap.lap_ms());
    show(fmt::format("velocity.{}", step), velocity, velocity.shape());
    show(fmt::format("latents.{}", step), latents, latents.shape());
    if (observer) lap.lap_ms();
    progress.update(step + 2);
  }
  enter(Phase::decode, request.steps + 1);
  run.images = decode(request, latents, cancel, observer);
  parts_->leave();
  run.times.vae_ms = lap.lap_ms();
  run.times.total_ms = total.lap_ms();
  progress.update(request.steps + 2);
  return run;
}

}  // namespace fluxq
