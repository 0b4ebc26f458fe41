#include "bench/ceiling.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <span>

#include "kernels/cpu/cpu_kernels.h"
#include "quant/scheme.h"

namespace fluxq {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kBudgetSeconds = 0.22;  // of each ceiling, after a first run that does not count
constexpr int64_t kPieceBytes = 1 << 20;

/// Of a product [rows, in] x [out, in].
struct Sizes {
  int64_t rows, in, out;
};

/// What keeps a device busy for long enough to be timed.
struct Load {
  std::span<const Sizes> products;  ///< the fastest counts
  int64_t buffer_bytes;             ///< beyond any cache
  int calls;                        ///< given one after another between two looks at the clock
};
constexpr Sizes kCpuProducts[] = {{.rows = 1024, .in = 2048, .out = 2048}};
constexpr Load kCpu = {.products = kCpuProducts, .buffer_bytes = 256 << 20, .calls = 1};
// Long sums suit some kernels, FLUX's own sizes (q, k and v of 1024 x 1024 pixels) those that were
// made for them.
constexpr Sizes kGpuProducts[] = {{.rows = 8192, .in = 4096, .out = 4096},
                                  {.rows = 4352, .in = 3072, .out = 9216}};
constexpr Load kGpu = {.products = kGpuProducts, .buffer_bytes = int64_t{1} << 31, .calls = 40};

/// The scheme whose product stands for a type of operands.
struct Product {
  std::string_view type, scheme;
  bool on_cpu;  ///< else a CPU computes that scheme in another type
};
constexpr Product kProducts[] = {{"f32", "f32", true},
                                 {"bf16", "bf16", true},
                                 {"fp8", "fp8dqrow", false},
                                 {"s8", "int8dq", true},
                                 {"s8 2:4", "sparse24-int8dq", false}};

/// Seconds of one run at its fastest within the budget, of at least two looks.
double fastest(Kernels& kernels, int calls, const std::function<void()>& run) {
  const auto seconds = [&] {
    const auto begun = Clock::now();
    for (int i = 0; i < calls; ++i) run();
    kernels.synchronize();
    return std::chrono::duration<double>(Clock::now() - begun).count();
  };
  seconds();
  double best = 1e9, spent = 0;
  for (int i = 0; i < 2 || spent < kBudgetSeconds; ++i) {
    const double taken = seconds();
    best = std::min(best, taken);
    spent += taken;
  }
  return best / calls;
}

/// Of random numbers: a GPU lowers its clock by what it multiplies.
double product_flops(Kernels& kernels, const Scheme& scheme, const Sizes& sizes, int calls) {
  const std::unique_ptr<SchemeKernels> on = scheme.on(kernels);
  const auto random = [&](Shape shape, uint64_t key) {
    Tensor tensor = kernels.allocate(scheme.stream(), std::move(shape));
    kernels.fill_random(tensor, key, 0, 1);
    return tensor;
  };
  const Tensor values = random({sizes.out, sizes.in}, 1);
  std::optional<PackedWeight> packed = on->pack(values, "a ceiling's weight");
  if (!packed) packed = scheme.pack(kernels.download(values), "a ceiling's weight");
  const std::shared_ptr<DeviceWeight> weight = on->load(*packed, 0, sizes.in);
  const Tensor x = random({1, sizes.rows, sizes.in}, 2);
  const Tensor out = kernels.allocate(scheme.stream(), {1, sizes.rows, sizes.out});

  Arena::Scope scope(kernels.arena());
  const Prepared prepared = on->prepare({.x = x});
  const double seconds = fastest(kernels, calls, [&] {
    Arena::Scope call(kernels.arena());
    on->matmul(prepared, *weight, {}, out);
  });
  return 2.0 * static_cast<double>(sizes.rows) * static_cast<double>(sizes.in * sizes.out) /
         seconds;
}

/// Reading: weights are read, and a CPU's writing is slower.
double bytes_per_second(CpuKernels& kernels, const Load& load) {
  const Tensor buffer = Tensor::on_host(DType::f32, {load.buffer_bytes / 4});
  auto* words = static_cast<uint64_t*>(buffer.raw());
  const int64_t pieces = load.buffer_bytes / kPieceBytes;
  constexpr int64_t kWords = kPieceBytes / 8;
  std::vector<uint64_t> sums(static_cast<size_t>(pieces));
  // Written first: untouched pages would all read from one page of zeros.
  kernels.pool().parallel_for(
      pieces, [&](int64_t piece, int) { std::memset(words + piece * kWords, 1, kPieceBytes); });
  const double seconds = fastest(kernels, load.calls, [&] {
    kernels.pool().parallel_for(pieces, [&](int64_t piece, int) {
      const uint64_t* begin = words + piece * kWords;
      sums[static_cast<size_t>(piece)] = std::accumulate(begin, begin + kWords, uint64_t{0});
    });
  });
  // Used, so that no compiler leaves the reading out.
  if (std::accumulate(sums.begin(), sums.end(), uint64_t{0}) == 0) return 0;
  return static_cast<double>(load.buffer_bytes) / seconds;
}

/// Copying, which counts what is read and what is written.
double bytes_per_second(Kernels& kernels, const Load& load) {
  constexpr int64_t kCols = 8192;  // in bf16, which devices copy in vectors
  const Shape shape = {1, load.buffer_bytes / 2 / kCols, kCols};
  const Tensor from = kernels.allocate(DType::bf16, shape);
  const Tensor to = kernels.allocate(DType::bf16, shape);
  kernels.fill_random(from, 1, 0, 1);
  const double seconds = fastest(kernels, load.calls, [&] { kernels.produce({.x = from}, to); });
  return 2.0 * static_cast<double>(load.buffer_bytes) / seconds;
}

}  // namespace

Ceilings measure_ceilings(Kernels& kernels) {
  const bool is_cpu = kernels.device() == Device::cpu;
  const Load& load = is_cpu ? kCpu : kGpu;
  Ceilings ceilings;
  for (const Product& product : kProducts) {
    const Scheme& scheme = find_scheme(product.scheme);
    if (!scheme.runs_on(kernels.device()) || (is_cpu && !product.on_cpu)) continue;
    double& most = ceilings.flops[std::string(product.type)];
    for (const Sizes& sizes : load.products)
      most = std::max(most, product_flops(kernels, scheme, sizes, load.calls));
  }
  auto* cpu = dynamic_cast<CpuKernels*>(&kernels);
  ceilings.bytes = cpu ? bytes_per_second(*cpu, load) : bytes_per_second(kernels, load);
  return ceilings;
}

}  // namespace fluxq
