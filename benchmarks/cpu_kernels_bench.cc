/// The CPU's operations at the sizes of the bundled model (320 tokens: 64 of text, 256 of image;
/// hidden 256), alone and warm. GFLOP/s stand beside the peak of the same threads: the rate of the
/// processor's multiply-add (or dot product) instructions on registers, measured here too.
///
///   cpu_kernels_bench --threads=2 [--benchmark_filter=gemm]
#include <benchmark/benchmark.h>
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/gemm.h"

namespace fluxq {
namespace {

CpuKernels* kernels = nullptr;

Tensor filled(DType dtype, Shape shape) {
  Tensor tensor = Tensor::on_host(dtype, std::move(shape));
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const int value = static_cast<int>(i * 7919 % 255) - 127;
    if (dtype == DType::i8)
      tensor.data<int8_t>()[i] = static_cast<int8_t>(value);
    else if (dtype == DType::bf16)
      tensor.data<bf16>()[i] = bf16(static_cast<float>(value) / 1024);
    else
      tensor.data<float>()[i] = static_cast<float>(value) / 1024;
  }
  return tensor;
}

// ---- what the registers can do: 16 independent sums hide the instructions' latency
constexpr int kSums = 16;
constexpr int64_t kRounds = 100000;

#define FLUXQ_PEAK(name, features, vector, zero, operand, instruction)                 \
  __attribute__((target(features))) void name(benchmark::State& state) {               \
    for (auto _ : state)                                                               \
      kernels->pool().parallel_for(                                                    \
          kernels->pool().size(), [](int64_t, int) __attribute__((target(features))) { \
            vector sums[kSums];                                                        \
            for (auto& sum : sums) sum = zero;                                         \
            auto a = operand;                                                          \
            for (int64_t round = 0; round < kRounds; ++round) {                        \
              asm volatile("" : "+v"(a));                                              \
              for (auto& sum : sums) sum = instruction;                                \
            }                                                                          \
            for (auto& sum : sums) asm volatile("" : : "v"(sum));                      \
          });                                                                          \
  }

FLUXQ_PEAK(peak_f32, "avx512f", __m512, _mm512_setzero_ps(), _mm512_set1_ps(1.0f),
           _mm512_fmadd_ps(a, a, sum))
FLUXQ_PEAK(peak_bf16, "avx512bf16,avx512f", __m512, _mm512_setzero_ps(), _mm512_set1_epi32(1),
           _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)a))
FLUXQ_PEAK(peak_s8, "avx512vnni,avx512f", __m512i, _mm512_setzero_si512(), _mm512_set1_epi32(1),
           _mm512_dpbusd_epi32(sum, a, a))

void rate(benchmark::State& state, double flops) {
  state.counters["GFLOP/s"] = benchmark::Counter(
      flops * static_cast<double>(state.iterations()) * 1e-9, benchmark::Counter::kIsRate);
}

template <void (*run)(benchmark::State&)>
void peak(benchmark::State& state, int64_t flops_each) {
  run(state);
  rate(state, static_cast<double>(kernels->pool().size() * kRounds * kSums * 2 * flops_each));
}

void gemm_bench(benchmark::State& state, GemmType type, DType stream, bool gelu, bool residual) {
  const int64_t rows = state.range(0), cols = state.range(1), in = state.range(2);
  const DType dtype = type == GemmType::f32    ? DType::f32
                      : type == GemmType::bf16 ? DType::bf16
                                               : DType::i8;
  const auto weight = arrange_weight(*kernels, type, filled(dtype, {cols, in}));
  const Tensor a = filled(dtype, {rows, in}), out = filled(stream, {rows, cols});
  const Tensor row_scale = filled(DType::f32, {rows}), col_scale = filled(DType::f32, {cols});
  const Tensor gate = filled(stream, {1, 1, cols});
  Epilogue epilogue;
  epilogue.bias = filled(stream, {cols});
  if (gelu) epilogue.act = Act::gelu_tanh;
  if (residual) epilogue.gate = gate, epilogue.residual = out;
  const bool scaled = type == GemmType::s8;
  for (auto _ : state) {
    if (residual) std::memset(out.raw(), 0, out.bytes());
    gemm(*kernels, a, *weight, scaled ? row_scale.data<float>() : nullptr,
         scaled ? col_scale.data<float>() : nullptr, epilogue, out);
  }
  rate(state, 2.0 * static_cast<double>(rows * cols * in));
}

void attention_bench(benchmark::State& state, DType stream) {
  const int64_t tokens = state.range(0), heads = state.range(1), dim = state.range(2);
  const Tensor qkv = filled(stream, {tokens, 3 * heads * dim});
  const Tensor out = Tensor::on_host(stream, {tokens, heads * dim});
  Attention args;
  args.q = Rows(qkv).columns(0, heads * dim);
  args.k = Rows(qkv).columns(heads * dim, heads * dim);
  args.v = Rows(qkv).columns(2 * heads * dim, heads * dim);
  args.out = out;
  args.heads = heads;
  args.scale = 0.088f;
  for (auto _ : state) kernels->attention(args);
  rate(state, 4.0 * static_cast<double>(tokens * tokens * heads * dim));
}

void norm_bench(benchmark::State& state, DType stream) {
  const Tensor x = filled(stream, {state.range(0), state.range(1)}),
               out = filled(stream, x.shape());
  const Tensor shift = filled(stream, {1, 1, state.range(1)});
  Producer producer;
  producer.kind = Producer::Kind::layer_norm;
  producer.x = x;
  producer.shift = producer.scale = shift;
  producer.eps = 1e-6f;
  for (auto _ : state) kernels->produce(producer, out);
  state.SetBytesProcessed(state.iterations() * 2 * x.bytes());
}

void qk_bench(benchmark::State& state, DType stream) {
  const Tensor q = filled(stream, {320, 256}), k = filled(stream, {320, 256});
  const Tensor weight = filled(stream, {128}), rope = filled(DType::f32, {320, 64, 2});
  for (auto _ : state) kernels->qk_norm_rope(q, k, weight, weight, rope, 1e-6f);
  state.SetBytesProcessed(state.iterations() * 4 * q.bytes());
}

void empty_bench(benchmark::State& state) {
  for (auto _ : state) kernels->pool().parallel_for(2, [](int64_t, int) {});
}

void sizes(benchmark::internal::Benchmark* bench) {
  for (const int64_t rows : {320, 256, 64, 1})
    for (const auto& [cols, in] : {std::pair<int64_t, int64_t>{768, 256},
                                   {256, 256},
                                   {1024, 256},
                                   {1792, 256},
                                   {256, 1024},
                                   {256, 1280}})
      bench->Args({rows, cols, in});
  bench->UseRealTime()->Unit(benchmark::kMicrosecond);
}

void add_all() {
  auto at = [](auto* bench) { return bench->UseRealTime()->Unit(benchmark::kMicrosecond); };
  if (__builtin_cpu_supports("avx512f"))
    at(benchmark::RegisterBenchmark("peak/f32", [](auto& s) { peak<peak_f32>(s, 16); }));
  if (__builtin_cpu_supports("avx512bf16"))
    at(benchmark::RegisterBenchmark("peak/bf16", [](auto& s) { peak<peak_bf16>(s, 32); }));
  if (__builtin_cpu_supports("avx512vnni"))
    at(benchmark::RegisterBenchmark("peak/s8", [](auto& s) { peak<peak_s8>(s, 64); }));
  at(benchmark::RegisterBenchmark("parallel_for/empty", empty_bench));
  for (const auto& [name, type, stream] : {std::tuple{"f32", GemmType::f32, DType::f32},
                                           {"bf16", GemmType::bf16, DType::bf16},
                                           {"s8", GemmType::s8, DType::bf16}}) {
    const std::string gemm_name = fmt::format("gemm/{}", name);
    auto add = [&](std::string what, bool gelu, bool residual) {
      return benchmark::RegisterBenchmark((gemm_name + what).c_str(), gemm_bench, type, stream,
                                          gelu, residual);
    };
    add("", false, false)->Apply(sizes);
    at(add("/gelu", true, false)->Args({320, 1024, 256}));
    at(add("/residual", false, true)->Args({320, 256, 1024}));
  }
  for (const auto& [name, stream] : {std::pair{"f32", DType::f32}, {"bf16", DType::bf16}}) {
    const std::string suffix = fmt::format("/{}", name);
    at(benchmark::RegisterBenchmark(("attention" + suffix).c_str(), attention_bench, stream)
           ->Args({320, 2, 128})
           ->Args({64, 4, 64})
           ->Args({1024, 1, 128})
           ->Args({4608, 2, 128}));
    at(benchmark::RegisterBenchmark(("layer_norm" + suffix).c_str(), norm_bench, stream)
           ->Args({320, 256}));
    at(benchmark::RegisterBenchmark(("qk_norm_rope" + suffix).c_str(), qk_bench, stream));
  }
}

}  // namespace
}  // namespace fluxq

int main(int argc, char** argv) {
  int threads = fluxq::default_threads();
  for (int i = 1; i < argc; ++i)
    if (std::strncmp(argv[i], "--threads=", 10) == 0) threads = std::atoi(argv[i] + 10);
  fluxq::CpuKernels kernels(std::max(1, threads));
  fluxq::kernels = &kernels;
  fluxq::add_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
