/// Every scheme's quantization and product on the GPU at FLUX's shapes: checked first, against a
/// plain f32 product of what prepare() and pack() mean, then timed alone and warm (median of 30).
///
///   cuda_gemm_bench [scheme ...]
///
/// A line for each: scheme, M N K, epilogue, microseconds, TFLOP/s, microseconds of the host per
/// call, largest error relative to the outputs' size. Ends with status 1 if any is wrong.
#include <cuda_bf16.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "kernels/cuda/check.h"
#include "kernels/cuda/plain_gemm.h"
#include "quant/scheme.h"

namespace fluxq {
namespace {

constexpr int kWarmUp = 5, kRuns = 30;
constexpr int64_t kCheckedRows = 64;  // at either end
constexpr int64_t kMargin = 128;      // columns left and right of an output: it is a window

struct Size {
  int64_t batch, m, n, k;
};
// Image and text together, image, text; qkv, mlp up, mlp down, attention out. Then the modulation.
constexpr Size kSizes[] = {{1, 4608, 9216, 3072},  {1, 4608, 12288, 3072}, {1, 4608, 3072, 12288},
                           {1, 4608, 3072, 3072},  {1, 4352, 9216, 3072},  {1, 4352, 12288, 3072},
                           {1, 4352, 3072, 12288}, {1, 4096, 9216, 3072},  {1, 4096, 12288, 3072},
                           {1, 4096, 3072, 12288}, {1, 512, 9216, 3072},   {1, 512, 12288, 3072},
                           {1, 512, 3072, 12288},  {1, 256, 9216, 3072},   {1, 256, 12288, 3072},
                           {1, 256, 3072, 12288},  {4, 1, 18432, 3072},    {64, 1, 18432, 3072}};

class Timer {
 public:
  explicit Timer(CudaKernels& kernels) : kernels_(kernels) {
    cuda::check(cudaEventCreate(&begin_), "an event");
    cuda::check(cudaEventCreate(&end_), "an event");
  }
  ~Timer() {
    (void)cudaEventDestroy(begin_);
    (void)cudaEventDestroy(end_);
  }
  struct Times {
    double device_us, host_us;
  };
  template <typename Work>
  Times median(const Work& work) {
    for (int i = 0; i < kWarmUp; ++i) work();
    std::vector<float> times(kRuns);
    for (float& time : times) {
      cuda::check(cudaEventRecord(begin_, kernels_.stream()), "an event");
      work();
      cuda::check(cudaEventRecord(end_, kernels_.stream()), "an event");
      cuda::check(cudaEventSynchronize(end_), "an event");
      cuda::check(cudaEventElapsedTime(&time, begin_, end_), "an event");
    }
    std::ranges::sort(times);
    const auto begun = std::chrono::steady_clock::now();
    for (int i = 0; i < kRuns; ++i) work();
    const std::chrono::duration<double, std::micro> host = std::chrono::steady_clock::now() - begun;
    kernels_.synchronize();
    return {1e3 * times[kRuns / 2], host.count() / kRuns};
  }

 private:
  CudaKernels& kernels_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

Tensor random(CudaKernels& kernels, DType dtype, Shape shape, uint64_t key, float spread) {
  const Tensor tensor = kernels.allocate(dtype, std::move(shape));
  kernels.fill_random(tensor, key, 0, spread);
  return tensor;
}

Tensor as_f32(CudaKernels& kernels, const Tensor& tensor) {
  return kernels.upload(converted(kernels.download(tensor), DType::f32));
}

// One weight and its inputs, and the same numbers in f32.
class Problem {
 public:
  Problem(CudaKernels& kernels, const Scheme& scheme, const Size& size)
      : kernels_(kernels), size_(size), stream_(scheme.stream()), on_(scheme.on(kernels)) {
    const auto [batch, m, n, k] = size;
    const auto spread = static_cast<float>(1 / std::sqrt(static_cast<double>(k)));
    const Tensor w = random(kernels, stream_, {n, k}, 1, spread);
    const auto packed = on_->pack(w, "w");
    if (!packed) fail(ErrorCode::internal, "{} does not pack on the GPU", scheme.info().name);
    weight_ = on_->load(*packed, 0, k);
    PackedWeight host{n, k, {}};
    for (const Tensor& part : packed->parts) host.parts.push_back(kernels.download(part));
    exact_weight_ = kernels.upload(Tensor::from(scheme.unpack(host), {n, k}));
    x_ = random(kernels, stream_, {batch, m, k}, 2, 1);
    bias_ = random(kernels, stream_, {n}, 3, 1);
    gate_ = random(kernels, stream_, {batch, 1, n}, 4, 1);
    residual_ = random(kernels, stream_, {batch, m, n}, 5, 1);
    wide_ = kernels.allocate(stream_, {batch, m, n + 2 * kMargin});
    out_ = Rows(wide_).columns(kMargin, n);
    prepared_ = on_->prepare({.x = x_});
  }

  SchemeKernels& on() { return *on_; }
  void prepare() {
    Arena::Scope scope(kernels_.arena());
    (void)on_->prepare({.x = x_});
  }
  void multiply(const Epilogue& epilogue) { on_->matmul(prepared_, *weight_, epilogue, out_); }
  Epilogue epilogue(bool gelu, bool gated) const {
    Epilogue epilogue = {.bias = bias_, .act = gelu ? Act::gelu_tanh : Act::none};
    if (gated) epilogue.gate = gate_, epilogue.residual = residual_;
    return epilogue;
  }

  // The largest error of the first and last rows; infinite for anything missing or out of place.
  double error(const Epilogue& epilogue) {
    cuda::check(
        cudaMemsetAsync(wide_.raw(), 0xff, static_cast<size_t>(wide_.bytes()), kernels_.stream()),
        "poisoning");
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
    cuda::plain_gemm(kernels_, x, exact_weight_, {}, {}, exact, reference);
    const std::vector<float> expected = to_floats(kernels_.download(reference));
    const std::vector<float> got = to_floats(kernels_.download(wide_));

    double squares = 0;
    for (const float value : expected) squares += static_cast<double>(value) * value;
    const double size = std::sqrt(squares / static_cast<double>(expected.size()));
    double largest = 0;
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t r = 0; r < count; ++r) {
        const float* row = &got[static_cast<size_t>((b * m + begin + r) * (n + 2 * kMargin))];
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
  DType stream_;
  std::unique_ptr<SchemeKernels> on_;
  std::shared_ptr<DeviceWeight> weight_;
  Tensor exact_weight_, x_, bias_, gate_, residual_, wide_;
  Rows out_;
  Prepared prepared_;
};

// What a product's rounding to bf16, or the sums of e4m3, may cost at these sizes.
double tolerance(const SchemeKernels& on) { return on.rounding().sum > 0x1p-20 ? 6e-2 : 6e-3; }

bool measure(CudaKernels& kernels, const Scheme& scheme, const Size& size) {
  Arena::Scope scope(kernels.arena());
  Timer timer(kernels);
  Problem problem(kernels, scheme, size);
  const auto [batch, m, n, k] = size;
  const std::string name =
      fmt::format("{:<16} {:>5} {:>5} {:>5}", scheme.info().name, batch * m, n, k);
  const Timer::Times preparing = timer.median([&] { problem.prepare(); });
  fmt::print("{} {:<14} {:9.1f} us {:>17} host {:5.1f} us\n", name, "prepare", preparing.device_us,
             "", preparing.host_us);
  struct Case {
    const char* name;
    bool gelu, gated;
  };
  bool all_right = true;
  for (const Case& c : {Case{"bias", false, false}, Case{"bias gelu", true, false},
                        Case{"gate residual", false, true}}) {
    const Epilogue epilogue = problem.epilogue(c.gelu, c.gated);
    const FusedParts fused = problem.on().fused(epilogue);
    if ((c.gelu && !fused.act) || (c.gated && !(fused.gate && fused.residual))) continue;
    const double error = problem.error(epilogue);
    const Timer::Times times = timer.median([&] { problem.multiply(epilogue); });
    const double work = 2.0 * static_cast<double>(batch * m) * static_cast<double>(n * k);
    const bool right = error <= tolerance(problem.on());
    fmt::print("{} {:<14} {:9.1f} us {:8.1f} TFLOP/s host {:5.1f} us  error {:.2e}{}\n", name,
               c.name, times.device_us, work / times.device_us / 1e6, times.host_us, error,
               right ? "" : "  WRONG");
    std::fflush(stdout);
    all_right = all_right && right;
  }
  return all_right;
}

bool run(const std::vector<std::string>& names) {
  const std::unique_ptr<Kernels> device = make_cuda_kernels();
  CudaKernels& kernels = cuda_of(*device);
  bool all_right = true;
  for (const Scheme* scheme : all_schemes()) {
    const std::string& name = scheme->info().name;
    if (names.empty() ? name == "f32" : std::ranges::find(names, name) == names.end()) continue;
    fmt::print("{}: {}\n", name, scheme->on(kernels)->kernel_name());
    for (const Size& size : kSizes) all_right = measure(kernels, *scheme, size) && all_right;
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
