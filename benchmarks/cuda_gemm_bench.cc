/// Every scheme's quantization and product on the GPU at FLUX's shapes: checked first, against a
/// plain f32 product of what prepare() and pack() mean, and against a second run's bytes; then
/// timed alone and warm: the median of 10 times 10 launches back to back.
///
///   cuda_gemm_bench [--quick] [--ranks] [scheme ...]
///
/// All schemes but f32 unless some are named. --quick: each shape with the one epilogue that FLUX
/// asks of it. --ranks: below each product of cuBLASLt's, all of the algorithms it offers, in its
/// order, whether each gives the bytes of the first, and its time. Ends with status 1 if any
/// product is wrong or two runs differ.
#include <cuda_bf16.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "cuda_bench.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/plain_gemm.h"
#include "quant/scheme.h"

namespace fluxq {
namespace {

constexpr Sampling kSampling = {.warm_ups = 3, .samples = 10, .launches = 10};
constexpr int64_t kCheckedRows = 64;  // at either end
constexpr int64_t kMargin = 128;      // columns left and right of an output: it is a window

struct Ending {
  const char* name;
  bool gelu, gated;
};
constexpr Ending kBias = {"bias", false, false}, kGelu = {"bias gelu", true, false},
                 kGated = {"gate residual", false, true};

// A weight [n, k], the inputs [batch, m, k] that it is multiplied with, and how.
struct Case {
  int64_t n, k;
  std::vector<std::pair<int64_t, int64_t>> inputs;  // batch, m
  std::vector<Ending> endings;  // those that a scheme does not fuse are left out
};

// MLP up, MLP down, qkv, attention out: image and text together, image, text. Then the modulation.
std::vector<Case> all_cases(bool quick) {
  const auto endings = [quick](const Ending& of_flux) {
    return quick ? std::vector{of_flux} : std::vector{kBias, kGelu, kGated};
  };
  std::vector<std::pair<int64_t, int64_t>> tokens = {{1, 4352}, {1, 4096}, {1, 256}};
  if (!quick) tokens.insert(tokens.end(), {{1, 4608}, {1, 512}});
  return {{12288, 3072, tokens, endings(kGelu)},
          {3072, 12288, tokens, endings(kGated)},
          {9216, 3072, tokens, endings(kBias)},
          {3072, 3072, tokens, endings(kGated)},
          {18432, 3072, {{4, 1}, {16, 1}, {64, 1}}, {kBias}}};
}

// Microseconds that the host takes for one launch, with the device idle at first.
template <typename Work>
double host_us(CudaKernels& kernels, const Work& work) {
  kernels.synchronize();
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < kSampling.launches; ++i) work();
  const std::chrono::duration<double, std::micro> host = std::chrono::steady_clock::now() - begun;
  kernels.synchronize();
  return host.count() / kSampling.launches;
}

Tensor random(CudaKernels& kernels, DType dtype, Shape shape, uint64_t key, float spread) {
  const Tensor tensor = kernels.allocate(dtype, std::move(shape));
  kernels.fill_random(tensor, key, 0, spread);
  return tensor;
}

Tensor as_f32(CudaKernels& kernels, const Tensor& tensor) {
  return kernels.upload(converted(kernels.download(tensor), DType::f32));
}

// A weight [n, k] of a scheme, and the same numbers in f32.
struct Weight {
  Weight(CudaKernels& kernels, const Scheme& scheme, int64_t n, int64_t k)
      : stream(scheme.stream()), on(scheme.on(kernels)) {
    const auto spread = static_cast<float>(1 / std::sqrt(static_cast<double>(k)));
    const auto packed = on->pack(random(kernels, stream, {n, k}, 1, spread), "w");
    if (!packed) fail(ErrorCode::internal, "{} does not pack on the GPU", scheme.info().name);
    loaded = on->load(*packed, 0, k);
    PackedWeight host{n, k, {}};
    for (const Tensor& part : packed->parts) host.parts.push_back(kernels.download(part));
    exact = kernels.upload(Tensor::from(scheme.unpack(host), {n, k}));
  }
  DType stream;
  std::unique_ptr<SchemeKernels> on;
  std::shared_ptr<DeviceWeight> loaded;
  Tensor exact;
};

struct Size {
  int64_t batch, m, n, k;
};

// A weight and its inputs.
class Problem {
 public:
  Problem(CudaKernels& kernels, const Weight& weight, const Size& size)
      : kernels_(kernels), size_(size), weight_(weight), on_(weight.on.get()) {
    const auto [batch, m, n, k] = size;
    x_ = random(kernels, weight.stream, {batch, m, k}, 2, 1);
    bias_ = random(kernels, weight.stream, {n}, 3, 1);
    gate_ = random(kernels, weight.stream, {batch, 1, n}, 4, 1);
    residual_ = random(kernels, weight.stream, {batch, m, n}, 5, 1);
    wide_ = kernels.allocate(weight.stream, {batch * m, n + 2 * kMargin});
    out_ = Rows(wide_.reshaped({batch, m, n + 2 * kMargin})).columns(kMargin, n);
    prepared_ = on_->prepare({.x = x_});
  }

  SchemeKernels& on() { return *on_; }
  bool uses_blas() const { return on_->kernel_name().starts_with("cuBLASLt"); }
  void prepare() {
    Arena::Scope scope(kernels_.arena());
    (void)on_->prepare({.x = x_});
  }
  void multiply(const Epilogue& epilogue) {
    on_->matmul(prepared_, *weight_.loaded, epilogue, out_);
  }
  Epilogue epilogue(const Ending& ending) const {
    Epilogue epilogue = {.bias = bias_, .act = ending.gelu ? Act::gelu_tanh : Act::none};
    if (ending.gated) epilogue.gate = gate_, epilogue.residual = residual_;
    return epilogue;
  }
  bool fuses(const Epilogue& epilogue) const {
    const FusedParts fused = on_->fused(epilogue);
    return (epilogue.act == Act::none || fused.act) && (epilogue.gate.empty() || fused.gate) &&
           (epilogue.residual.empty() || fused.residual);
  }

  // All of the output, on the host.
  Tensor output(const Epilogue& epilogue) {
    poison(kernels_, wide_);
    multiply(epilogue);
    const Tensor host = kernels_.download(wide_);
    kernels_.synchronize();
    return host;
  }

  // The largest error of the first and last rows; infinite for anything missing or out of place.
  double error(const Epilogue& epilogue) {
    poison(kernels_, wide_);
    multiply(epilogue);
    if (!kernels_.all_finite(out_)) return INFINITY;
    const int64_t rows = std::min(size_.m, kCheckedRows);
    return std::max(error_of_rows(epilogue, 0, rows),
                    error_of_rows(epilogue, size_.m - rows, rows));
  }

 private:
  double error_of_rows(const Epilogue& epilogue, int64_t begin, int64_t count) {
    const auto [batch, m, n, k] = size_;
    Prepared some = prepared_;
    some.codes = some.codes.middle(begin, count);
    if (batch == 1 && some.scale.elements() == m && m > 1)
      some.scale = some.scale.slice(begin, begin + count);
    const Tensor x = kernels_.upload(Tensor::from(on_->dequantize(some), {batch, count, k}));
    Epilogue exact = {.bias = as_f32(kernels_, bias_), .act = epilogue.act};
    const Tensor gate = as_f32(kernels_, gate_), residual = as_f32(kernels_, residual_);
    if (!epilogue.gate.empty()) exact.gate = gate;
    if (!epilogue.residual.empty()) exact.residual = Rows(residual).middle(begin, count);
    const Tensor reference = kernels_.allocate(DType::f32, {batch, count, n});
    cuda::plain_gemm(kernels_, x, weight_.exact, {}, {}, exact, reference);
    const std::vector<float> expected = to_floats(kernels_.download(reference));
    // Of a batch, `count` is all.
    const std::vector<float> got =
        to_floats(kernels_.download(wide_.slice(begin, begin + batch * count)));

    double squares = 0;
    for (const float value : expected) squares += static_cast<double>(value) * value;
    const double size = std::sqrt(squares / static_cast<double>(expected.size()));
    double largest = 0;
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t r = 0; r < count; ++r) {
        const float* row = &got[static_cast<size_t>((b * count + r) * (n + 2 * kMargin))];
        for (int64_t c = 0; c < kMargin; ++c) {
          if (!std::isnan(row[c]) || !std::isnan(row[kMargin + n + c])) return INFINITY;
        }
        for (int64_t c = 0; c < n; ++c) {
          const double exact_value = expected[static_cast<size_t>((b * count + r) * n + c)];
          const double off =
              std::abs(row[kMargin + c] - exact_value) / std::max(std::abs(exact_value), size);
          largest = std::max(largest, std::isnan(off) ? INFINITY : off);
        }
      }
    }
    return largest;
  }

  CudaKernels& kernels_;
  Size size_;
  const Weight& weight_;
  SchemeKernels* on_;
  Tensor x_, bias_, gate_, residual_, wide_;
  Rows out_;
  Prepared prepared_;
};

// What a product's rounding to bf16, or the sums of e4m3, may cost at these sizes.
double tolerance(const SchemeKernels& on) { return on.rounding().sum > 0x1p-20 ? 6e-2 : 6e-3; }

// Each algorithm that cuBLASLt offers for the product that it did last.
void print_ranks(CudaKernels& kernels, Problem& problem, const Epilogue& epilogue) {
  const Tensor first = problem.output(epilogue);
  const CudaBlas::Shape shape = kernels.blas().latest();
  for (int rank = 0; kernels.blas().choose(shape, rank); ++rank) {
    const bool same = same_bytes(problem.output(epilogue), first);
    fmt::print("    rank {} {:9.1f} us{}\n", rank,
               median_us(kernels, kSampling, [&] { problem.multiply(epilogue); }),
               same ? "" : "  other bytes");
  }
  kernels.blas().choose(shape, 0);
}

bool measure(CudaKernels& kernels, const Scheme& scheme, const Weight& weight, const Size& size,
             const std::vector<Ending>& endings, bool ranks) {
  Arena::Scope scope(kernels.arena());
  Problem problem(kernels, weight, size);
  const auto [batch, m, n, k] = size;
  const double preparing = median_us(kernels, kSampling, [&] { problem.prepare(); });
  const double work = 2.0 * static_cast<double>(batch * m) * static_cast<double>(n * k);
  bool all_right = true;
  for (const Ending& wanted : endings) {
    // The one epilogue of a shape is timed without what is not fused.
    const bool fuses = problem.fuses(problem.epilogue(wanted));
    if (!fuses && endings.size() > 1) continue;
    const Ending& ending = fuses ? wanted : kBias;
    const Epilogue epilogue = problem.epilogue(ending);
    const double error = problem.error(epilogue);
    const bool right = error <= tolerance(problem.on());
    const bool same = same_bytes(problem.output(epilogue), problem.output(epilogue));
    const auto multiply = [&] { problem.multiply(epilogue); };
    const double product = median_us(kernels, kSampling, multiply);
    fmt::print("{:<16} {:>5} {:>5} {:>5}  {:<13} {:8.1f} {:9.1f} {:8.1f} {:8.1f}  {:.2e}{}{}\n",
               scheme.info().name, batch * m, n, k, ending.name, preparing, product,
               work / product / 1e6, host_us(kernels, multiply), error, right ? "" : "  WRONG",
               same ? "" : "  TWO RUNS DIFFER");
    if (ranks && m > 1 && problem.uses_blas()) print_ranks(kernels, problem, epilogue);
    std::fflush(stdout);
    all_right = all_right && right && same;
  }
  return all_right;
}

bool run(const std::vector<std::string>& arguments) {
  bool quick = false, ranks = false;
  std::vector<const Scheme*> schemes;
  for (const std::string& argument : arguments) {
    if (argument == "--quick") {
      quick = true;
    } else if (argument == "--ranks") {
      ranks = true;
    } else {
      schemes.push_back(&find_scheme(argument));
    }
  }
  if (schemes.empty()) {
    for (const Scheme* scheme : all_schemes()) {
      if (scheme->info().name != "f32") schemes.push_back(scheme);
    }
  }
  const std::unique_ptr<Kernels> device = make_cuda_kernels();
  CudaKernels& kernels = cuda_of(*device);
  bool all_right = true;
  fmt::print("{:<16} {:>5} {:>5} {:>5}  {:<13} {:>8} {:>9} {:>8} {:>8}  {}\n", "scheme", "M", "N",
             "K", "epilogue", "prep us", "us", "TFLOP/s", "host us", "error");
  for (const auto& [n, k, inputs, endings] : all_cases(quick)) {
    for (const Scheme* scheme : schemes) {
      const Weight weight(kernels, *scheme, n, k);
      for (const auto& [batch, m] : inputs) {
        const Size size = {batch, m, n, k};
        all_right = measure(kernels, *scheme, weight, size, endings, ranks) && all_right;
      }
    }
  }
  return all_right;
}

}  // namespace
}  // namespace fluxq

int main(int argc, char** argv) {
  try {
    return fluxq::run({argv + 1, argv + argc}) ? 0 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "cuda_gemm_bench: {}\n", error.what());
    return 1;
  }
}
