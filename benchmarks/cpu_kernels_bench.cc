/// The CPU's operations at the sizes of the bundled model (320 tokens: 64 of text, 256 of image;
/// hidden 256), alone and warm. %peak is the share of what the same threads' multiply-add (or dot
/// product) instructions do on registers, measured first.
///
///   cpu_kernels_bench --threads=2 [--benchmark_filter=gemm]
#include <benchmark/benchmark.h>
#include <immintrin.h>

#include <chrono>
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

// ---- the peak: multiply-adds on registers alone, in 16 independent sums that hide their latency
constexpr int kSums = 16;
constexpr int64_t kRounds = 100000;

// `step(sum, a)` is compiled for the caller's instructions.
template <typename Vector, typename Step>
__attribute__((always_inline)) inline void spin(Vector a, Step step) {
  Vector sums[kSums] = {};
  for (int64_t round = 0; round < kRounds; ++round)
    for (Vector& sum : sums) {
      step(sum, a);
      asm volatile("" : "+v"(sum));  // neither left out nor merged
    }
}

__attribute__((target("avx512f"))) void spin_f32() {
  spin<__m512>(
      _mm512_set1_ps(1), [](__m512 & sum, const __m512& a) __attribute__((target("avx512f"))) {
        sum = _mm512_fmadd_ps(a, a, sum);
      });
}
__attribute__((target("avx512bf16,avx512f"))) void spin_bf16() {
  spin<__m512>(
      _mm512_set1_ps(1),
      [](__m512 & sum, const __m512& a) __attribute__((target("avx512bf16,avx512f"))) {
        sum = _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)a);
      });
}
__attribute__((target("avx512vnni,avx512f"))) void spin_s8() {
  spin<__m512i>(
      _mm512_set1_epi32(1),
      [](__m512i & sum, const __m512i& a)
          __attribute__((target("avx512vnni,avx512f"))) { sum = _mm512_dpbusd_epi32(sum, a, a); });
}

/// FLOP/s of all threads, the best of some runs; 0 where the processor has no such instructions.
double peak(GemmType type) {
  const auto measure = [](void (*spin)(), bool has, double flops) {
    double best = 0;
    for (int run = 0; has && run < 10; ++run) {
      const auto start = std::chrono::steady_clock::now();
      kernels->pool().parallel_for(kernels->pool().size(), [&](int64_t, int) { spin(); });
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      best = std::max(best, flops * kSums * kRounds * kernels->pool().size() / took.count());
    }
    return best;
  };
  static const double peaks[] = {measure(spin_f32, __builtin_cpu_supports("avx512f"), 32),
                                 measure(spin_bf16, __builtin_cpu_supports("avx512bf16"), 64),
                                 measure(spin_s8, __builtin_cpu_supports("avx512vnni"), 128)};
  return peaks[static_cast<int>(type)];
}

/// GFLOP/s, and its share of the peak in per cent.
void rate(benchmark::State& state, GemmType type, double flops) {
  using benchmark::Counter;
  const double all = flops * static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = Counter(all * 1e-9, Counter::kIsRate);
  if (peak(type) > 0) state.counters["%peak"] = Counter(100 * all / peak(type), Counter::kIsRate);
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
  rate(state, type, 2.0 * static_cast<double>(rows * cols * in));
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
  rate(state, stream == DType::f32 ? GemmType::f32 : GemmType::bf16,
       4.0 * static_cast<double>(tokens * tokens * heads * dim));
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
