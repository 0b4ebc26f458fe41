/// The bundled model's stages, 256 x 256 with 64 text tokens, warm: what one picture of four steps
/// is made of. GFLOP/s by models/cost.h.
///
///   models_bench [--threads=2] [--benchmark_filter=bf16]
#include <benchmark/benchmark.h>

#include <cstring>

#include "base/thread_pool.h"
#include "checkpoint/tensor_store.h"
#include "models/clip/text_encoder.h"
#include "models/cost.h"
#include "models/flux/transformer.h"
#include "models/t5/encoder.h"
#include "models/vae/decoder.h"

namespace fluxq {
namespace {

constexpr int64_t kTextTokens = 64, kSide = 16, kSteps = 4, kClipTokens = 77;

/// All parts of the model under one scheme, and buffers for its stages.
class Bundled {
 public:
  Bundled(Kernels& kernels, const std::string& scheme)
      : kernels_(kernels),
        recipe_(Recipe::standard(find_scheme(scheme))),
        schemes_(kernels),
        t5(load<T5Encoder>("text_encoder_2", parse_t5_config)),
        clip(load<ClipTextEncoder>("text_encoder", parse_clip_config)),
        flux(load<FluxTransformer>("transformer", parse_flux_config)),
        vae(load<VaeDecoder>("vae", parse_vae_config)),
        t5_ids(ones(kTextTokens)),
        clip_ids(ones(kClipTokens)),
        prompt(filled({1, kTextTokens, t5.config().width})),
        pooled(filled({1, 1, clip.config().width})),
        latents(filled({1, kSide * kSide, flux.config().in_channels})),
        velocity(filled({1, kSide * kSide, flux.config().in_channels})),
        picture(filled({1, 16 * kSide, 16 * kSide, 3})) {}

 private:
  template <typename Model, typename Parse>
  Model load(const std::string& part, Parse parse) {
    const auto folder = std::filesystem::path(FLUXQ_SOURCE_DIR) / "models/emoji-flux" / part;
    Progress progress;
    const auto config = parse(read_config_file(folder / "config.json"), "config", progress);
    const TensorStore store(folder);
    WeightLoader loader(store, part, recipe_, schemes_, progress, cancel);
    return Model(config, loader);
  }
  static Tensor ones(int64_t tokens) {
    return Tensor::from(std::vector<int32_t>(static_cast<size_t>(tokens), 1), {1, tokens});
  }
  Tensor filled(Shape shape) {
    Tensor values = Tensor::on_host(DType::f32, std::move(shape));
    for (int64_t i = 0; i < values.elements(); ++i)
      values.data<float>()[i] = static_cast<float>(i * 7919 % 255 - 127) / 64;
    return converted(values, recipe_.stream());
  }

  Kernels& kernels_;
  Recipe recipe_;
  DeviceSchemes schemes_;

 public:
  const CancelToken cancel;
  T5Encoder t5;
  ClipTextEncoder clip;
  FluxTransformer flux;
  VaeDecoder vae;
  const Tensor t5_ids, clip_ids, prompt, pooled, latents, velocity, picture;

  FluxTransformer::Conditioning condition() {
    static constexpr float kTimes[kSteps] = {1000, 750, 500, 250};
    return flux.condition({.times = kTimes,
                           .prompt_embeds = prompt,
                           .pooled = pooled,
                           .height = kSide,
                           .width = kSide});
  }
};

/// Times what `make(model)` returns, made once in the arena.
template <typename Make>
void time_stage(benchmark::State& state, Kernels& kernels, Bundled& model, const Cost& cost,
                Make make) {
  Arena::Scope scope(kernels.arena());
  const auto body = make(model);
  for (auto _ : state) {
    Arena::Scope iteration(kernels.arena());
    body();
  }
  state.counters["GFLOP/s"] =
      benchmark::Counter(cost.flops() / 1e9, benchmark::Counter::kIsIterationInvariantRate);
}

void add_scheme(Kernels& kernels, const std::string& scheme) {
  // Loaded when the first of its stages is timed, kept for the others.
  const auto model = std::make_shared<std::unique_ptr<Bundled>>();
  const auto add = [&](const char* stage, auto cost, auto make) {
    benchmark::RegisterBenchmark(fmt::format("{}/{}", scheme, stage).c_str(),
                                 [&kernels, scheme, model, cost, make](benchmark::State& state) {
                                   if (!*model) *model = std::make_unique<Bundled>(kernels, scheme);
                                   time_stage(state, kernels, **model, cost(**model), make);
                                 })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  add(
      "t5", [](Bundled& b) { return t5_cost(b.t5.config(), 1, kTextTokens); },
      [](Bundled& b) { return [&b] { b.t5.encode(b.t5_ids, b.prompt, b.cancel); }; });
  add(
      "clip", [](Bundled& b) { return clip_cost(b.clip.config(), 1, kClipTokens); },
      [](Bundled& b) { return [&b] { b.clip.encode(b.clip_ids, b.pooled, b.cancel); }; });
  add(
      "condition",
      [](Bundled& b) { return flux_condition_cost(b.flux.config(), 1, kTextTokens, kSteps); },
      [](Bundled& b) { return [&b] { b.condition(); }; });
  add(
      "step",
      [](Bundled& b) { return flux_step_cost(b.flux.config(), 1, kTextTokens, kSide * kSide); },
      [](Bundled& b) {
        return [&b, conditioning = b.condition()] {
          b.flux.velocity(conditioning, 0, b.latents, b.velocity, b.cancel);
        };
      });
  add(
      "vae", [](Bundled& b) { return vae_cost(b.vae.config(), 1, kSide, kSide); },
      [](Bundled& b) {
        return [&b] { b.vae.decode(b.latents, kSide, kSide, b.picture, b.cancel); };
      });
}

}  // namespace
}  // namespace fluxq

int main(int argc, char** argv) {
  int threads = fluxq::default_threads();
  for (int i = 1; i < argc; ++i)
    if (std::strncmp(argv[i], "--threads=", 10) == 0) threads = std::atoi(argv[i] + 10);
  const std::unique_ptr<fluxq::Kernels> kernels = fluxq::make_cpu_kernels(threads);
  for (const fluxq::Scheme* scheme : fluxq::all_schemes())
    if (scheme->runs_on(fluxq::Device::cpu)) fluxq::add_scheme(*kernels, scheme->info().name);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
