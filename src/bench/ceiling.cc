#include "bench/ceiling.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>

#include "kernels/cpu/gemm.h"

namespace fluxq {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kBudgetSeconds = 0.22;  // of each ceiling, after a first run that does not count
constexpr int64_t kRows = 1024, kSide = 2048;
constexpr int64_t kBufferBytes = 256 << 20, kPieceBytes = 1 << 20;

/// Seconds of the fastest run within the budget; at least two runs.
double fastest(const auto& run) {
  run();
  double best = 1e9, spent = 0;
  for (int i = 0; i < 2 || spent < kBudgetSeconds; ++i) {
    const auto begun = Clock::now();
    run();
    const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
    best = std::min(best, seconds);
    spent += seconds;
  }
  return best;
}

double gemm_flops(CpuKernels& kernels, GemmType type) {
  const DType operand = type == GemmType::f32    ? DType::f32
                        : type == GemmType::bf16 ? DType::bf16
                                                 : DType::i8;
  const Tensor a = Tensor::on_host(operand, {1, kRows, kSide});
  const Tensor weight = Tensor::on_host(operand, {kSide, kSide});
  const Tensor out = Tensor::on_host(DType::f32, {1, kRows, kSide});
  // Zeros: their value does not change the time, and nothing overflows.
  std::memset(a.raw(), 0, static_cast<size_t>(a.bytes()));
  std::memset(weight.raw(), 0, static_cast<size_t>(weight.bytes()));
  const std::shared_ptr<GemmWeight> arranged = arrange_weight(kernels, type, weight);
  const double seconds = fastest([&] {
    Arena::Scope scope(kernels.arena());
    gemm(kernels, a, *arranged, nullptr, nullptr, {}, out);
  });
  return 2.0 * static_cast<double>(kRows) * static_cast<double>(kSide * kSide) / seconds;
}

double read_bytes_per_second(CpuKernels& kernels) {
  const Tensor buffer = Tensor::on_host(DType::f32, {kBufferBytes / 4});
  auto* words = static_cast<uint64_t*>(buffer.raw());
  const int64_t pieces = kBufferBytes / kPieceBytes;
  constexpr int64_t kWords = kPieceBytes / 8;
  std::vector<uint64_t> sums(static_cast<size_t>(pieces));
  // Written first: untouched pages would all read from one page of zeros.
  kernels.pool().parallel_for(
      pieces, [&](int64_t piece, int) { std::memset(words + piece * kWords, 1, kPieceBytes); });
  const double seconds = fastest([&] {
    kernels.pool().parallel_for(pieces, [&](int64_t piece, int) {
      const uint64_t* begin = words + piece * kWords;
      sums[static_cast<size_t>(piece)] = std::accumulate(begin, begin + kWords, uint64_t{0});
    });
  });
  // Used, so that no compiler leaves the reading out.
  if (std::accumulate(sums.begin(), sums.end(), uint64_t{0}) == 0) return 0;
  return static_cast<double>(kBufferBytes) / seconds;
}

}  // namespace

Ceilings measure_ceilings(Kernels& kernels) {
  auto* cpu = dynamic_cast<CpuKernels*>(&kernels);
  if (!cpu) return {};
  return {.flops = {{"f32", gemm_flops(*cpu, GemmType::f32)},
                    {"bf16", gemm_flops(*cpu, GemmType::bf16)},
                    {"s8", gemm_flops(*cpu, GemmType::s8)}},
          .bytes = read_bytes_per_second(*cpu)};
}

}  // namespace fluxq
