// The decoder of the bundled model's VAE at 256 x 256, its operations in order on random weights,
// and its parts: convolutions (GFLOP/s) and group norms (GB/s). FLUXQ_THREADS says how many
// threads.

#include <benchmark/benchmark.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <random>

#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace fluxq {
namespace {

Tensor random_tensor(DType dtype, Shape shape, uint64_t seed, float scale = 1) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  const Tensor floats = Tensor::on_host(DType::f32, std::move(shape));
  std::generate_n(floats.data<float>(), floats.elements(), [&] { return normal(generator); });
  return converted(floats, dtype);
}

int threads() {
  const char* value = std::getenv("FLUXQ_THREADS");
  return value ? std::atoi(value) : default_threads();
}

/// Layers on random weights, made when first asked for.
class Layers {
 public:
  explicit Layers(DType stream) : stream_(stream), kernels_(make_cpu_kernels(threads())) {}

  Kernels& kernels() { return *kernels_; }
  Tensor random(Shape shape) { return random_tensor(stream_, std::move(shape), 1); }

  Tensor conv(const Tensor& x, int64_t out, int64_t kernel, bool upsample = false,
              const Tensor& residual = {}) {
    auto& weight = weights_[{x.dim(3), out, kernel, upsample}];
    const float scale = 1 / std::sqrt(static_cast<float>(x.dim(3) * kernel * kernel));
    if (!weight)
      weight =
          kernels_->load_conv(random_tensor(stream_, {out, x.dim(3), kernel, kernel}, 2, scale),
                              random_tensor(stream_, {out}, 3), stream_, upsample);
    const int64_t times = upsample ? 2 : 1;
    const Tensor y =
        kernels_->arena().take(stream_, {x.dim(0), times * x.dim(1), times * x.dim(2), out});
    kernels_->conv2d(x, *weight, residual, y);
    return y;
  }

  Tensor norm(const Tensor& x, bool silu) {
    auto& weight = norms_[x.dim(3)];
    if (weight.empty()) weight = random({x.dim(3)});
    const Tensor y = kernels_->arena().take(stream_, x.shape());
    kernels_->group_norm(x, 32, weight, weight, 1e-6f, silu, y);
    return y;
  }

  Tensor resnet(const Tensor& x, int64_t out) {
    const Tensor hidden = conv(norm(x, true), out, 3);
    const Tensor shortcut = x.dim(3) == out ? x : conv(x, out, 1);
    return conv(norm(hidden, true), out, 3, false, shortcut);
  }

  Tensor attention(const Tensor& x) {
    const int64_t channels = x.dim(3);
    const Tensor normed = norm(x, false);
    Tensor qkv[3];
    for (Tensor& part : qkv)
      part = conv(normed, channels, 1).reshaped({x.dim(0), x.dim(1) * x.dim(2), channels});
    const Tensor out = kernels_->arena().take(stream_, qkv[0].shape());
    const float scale = 1 / std::sqrt(static_cast<float>(channels));
    kernels_->attention({.q = qkv[0], .k = qkv[1], .v = qkv[2], .out = out, .scale = scale});
    return conv(out.reshaped(x.shape()), channels, 1, false, x);
  }

 private:
  DType stream_;
  std::unique_ptr<Kernels> kernels_;
  std::map<std::array<int64_t, 4>, std::shared_ptr<ConvWeight>> weights_;
  std::map<int64_t, Tensor> norms_;
};

void decode(Layers& layers, const Tensor& latents) {
  const Arena::Scope scope(layers.kernels().arena());
  Tensor x = layers.conv(latents, 128, 3);
  x = layers.resnet(layers.attention(layers.resnet(x, 128)), 128);
  for (const int64_t channels : {128, 128, 64, 32}) {
    x = layers.resnet(layers.resnet(x, channels), channels);
    if (channels != 32) x = layers.conv(x, channels, 3, true);
  }
  layers.conv(layers.norm(x, true), 3, 3);
}

void BM_Decode(benchmark::State& state, DType stream) {
  Layers layers(stream);
  const Tensor latents = layers.random({1, 32, 32, 16});
  decode(layers, latents);
  for (auto _ : state) decode(layers, latents);
}

/// Arguments: picture side, input and output channels, kernel, upsample, residual.
void BM_Conv(benchmark::State& state, DType stream) {
  Layers layers(stream);
  const int64_t side = state.range(0), in = state.range(1), out = state.range(2),
                kernel = state.range(3), times = 1 + state.range(4);
  const Tensor x = layers.random({1, side, side, in});
  const Tensor residual =
      state.range(5) ? layers.random({1, times * side, times * side, out}) : Tensor();
  for (auto _ : state) {
    const Arena::Scope scope(layers.kernels().arena());
    layers.conv(x, out, kernel, times == 2, residual);
  }
  const int64_t flops = 2 * in * out * kernel * kernel * side * side * times * times;
  state.counters["GFLOP/s"] = benchmark::Counter(static_cast<double>(flops) * 1e-9,
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

/// Arguments: picture side, channels, silu. Counts one reading and one writing of the picture.
void BM_GroupNorm(benchmark::State& state, DType stream) {
  Layers layers(stream);
  const Tensor x = layers.random({1, state.range(0), state.range(0), state.range(1)});
  for (auto _ : state) {
    const Arena::Scope scope(layers.kernels().arena());
    layers.norm(x, state.range(2));
  }
  state.SetBytesProcessed(state.iterations() * 2 * x.bytes());
}

void conv_shapes(benchmark::internal::Benchmark* bench) {
  bench->Args({32, 16, 128, 3, 0, 0})->Args({32, 128, 128, 3, 0, 1})->Args({64, 128, 128, 3, 0, 0});
  bench->Args({64, 128, 128, 3, 1, 0})->Args({128, 128, 64, 1, 0, 0})->Args({128, 64, 64, 3, 1, 0});
  bench->Args({256, 32, 32, 3, 0, 1})->Args({256, 32, 3, 3, 0, 0});
}

void norm_shapes(benchmark::internal::Benchmark* bench) {
  bench->Args({32, 128, 0})->Args({32, 128, 1})->Args({128, 128, 1})->Args({256, 32, 1});
}

#define FLUXQ_BOTH(bench, ...)                     \
  BENCHMARK_CAPTURE(bench, f32, DType::f32)        \
      ->UseRealTime()                              \
      ->Unit(benchmark::kMillisecond) __VA_ARGS__; \
  BENCHMARK_CAPTURE(bench, bf16, DType::bf16)      \
      ->UseRealTime()                              \
      ->Unit(benchmark::kMillisecond) __VA_ARGS__
FLUXQ_BOTH(BM_Decode);
FLUXQ_BOTH(BM_Conv, ->Apply(conv_shapes));
FLUXQ_BOTH(BM_GroupNorm, ->Apply(norm_shapes));

}  // namespace
}  // namespace fluxq
