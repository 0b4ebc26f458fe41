/// What the parts of cuda_dnn_bench share: inputs, the check of a result and the printed line.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>

#include "cuda_bench.h"
#include "kernels/cuda/dnn.h"

namespace fluxq {

/// Each checks and times all of its cases; `engines`: also cuDNN's other engines.
void bench_attention(CudaKernels& kernels, bool engines);
void bench_convolutions(CudaKernels& kernels, bool engines);
/// The ways to convolve a doubled picture, alone.
void bench_doubling(CudaKernels& kernels);

constexpr Sampling kSampling = {.warm_ups = 3, .samples = 20};
constexpr int kEngines = 6;
constexpr int64_t kSamples = 6;  // places of a result that are checked
constexpr double kBf16Step = 0x1p-7;
inline int failures = 0;  // of the checks

inline Tensor random_tensor(DType dtype, Shape shape, uint64_t seed, float scale = 1) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  const Tensor floats = Tensor::on_host(DType::f32, std::move(shape));
  std::generate_n(floats.data<float>(), floats.elements(), [&] { return normal(generator); });
  return converted(floats, dtype);
}

/// A host copy that is bf16 noise: normal values repeated with a period that no dimension has.
inline Tensor large_random(Shape shape, uint64_t seed, float scale = 1) {
  constexpr int64_t kPeriod = 1000003;
  const Tensor some = random_tensor(DType::bf16, {kPeriod}, seed, scale);
  const Tensor all = Tensor::on_host(DType::bf16, std::move(shape));
  for (int64_t at = 0; at < all.elements(); at += kPeriod)
    std::copy_n(some.data<bf16>(), std::min(kPeriod, all.elements() - at), all.data<bf16>() + at);
  return all;
}

/// Errors of `got` beyond one bf16 step of each value and `inside` steps of the largest.
inline void expect_near(const char* name, const std::vector<float>& got,
                        const std::vector<float>& expected, double inside) {
  double largest = 0, worst = 0;
  for (const float v : expected) largest = std::max(largest, std::abs(double{v}));
  int64_t bad = got.size() == expected.size() && !got.empty() ? 0 : 1;
  for (size_t i = 0; i < std::min(got.size(), expected.size()); ++i) {
    const double error = std::abs(double{got[i]} - expected[i]);
    const double allowed = kBf16Step * (std::abs(double{expected[i]}) + inside * largest);
    bad += !(error <= allowed);
    worst = std::isnan(error) ? INFINITY : std::max(worst, error / largest);
  }
  failures += bad > 0;
  if (bad > 0)
    std::printf("%-44s WRONG: %ld of %zu values; worst error %.2e of the largest value\n", name,
                bad, got.size(), worst);
}

/// What the first call costs, in which cuDNN chooses and builds an engine.
template <typename F>
double first_call_ms(CudaKernels& kernels, const F& run) {
  kernels.synchronize();
  const auto begin = std::chrono::steady_clock::now();
  run();
  kernels.synchronize();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
      .count();
}

inline void print(const char* name, const char* what, double us, double flops) {
  std::printf("%-44s %-34.34s %10.1f us %7.1f TFLOP/s\n", name, what, us, flops / us * 1e-6);
  std::fflush(stdout);
}

inline void print_batch(const char* name, int64_t batch, bool same, double us, double flops) {
  failures += !same;
  print(name, fmt::format("batch {}, {} bytes as alone", batch, same ? "same" : "OTHER").c_str(),
        us, flops);
}

inline std::string as_chosen(double first_ms) {
  return fmt::format("as chosen (first call {:.0f} ms)", first_ms);
}

/// Times cuDNN's engines; run(dnn) is false where there is none.
template <typename F>
void time_engines(CudaKernels& kernels, const char* name, const Tensor& out, double flops,
                  const F& run) {
  Tensor first;
  std::string last;
  for (int rank = 0; rank < kEngines; ++rank) {
    CudaDnn dnn(kernels, rank);
    poison(kernels, out);
    if (!run(dnn) || (rank > 0 && dnn.last_engine() == last)) break;
    last = dnn.last_engine();
    const Tensor got = kernels.download(out);
    if (rank == 0) first = got;
    print(name, fmt::format("{}{}", same_bytes(got, first) ? "" : "(other bytes) ", last).c_str(),
          median_us(kernels, kSampling, [&] { run(dnn); }), flops);
  }
}

}  // namespace fluxq
