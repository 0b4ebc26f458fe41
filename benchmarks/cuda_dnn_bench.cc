// Attention and convolutions on the GPU at FLUX's sizes: every result is checked against the
// reference first (small sizes in full, large ones at sampled places, into memory full of NaN),
// then timed: microseconds (median of 20) and TFLOP/s. `--engines` also times the other engines
// that cuDNN offers for each shape, and says whether they give the same bytes. `--doubled` times
// nothing but the ways to convolve a doubled picture, in the products of the plain way.

#include <cuda_runtime.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>

#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/dnn.h"
#include "kernels/ref/ref_kernels.h"

namespace fluxq {
namespace {

constexpr int kRuns = 20, kWarmUps = 3, kEngines = 6, kSamples = 6;
constexpr double kBf16Step = 0x1p-7;
// Sums of weights rounded to bf16 move results by 2^-10 of their norm; the largest error of
// thousands is some 4 times, the largest result too.
constexpr double kSummedWeights = 0x1p-2;

int failures = 0;

Tensor random_tensor(DType dtype, Shape shape, uint64_t seed, float scale = 1) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  const Tensor floats = Tensor::on_host(DType::f32, std::move(shape));
  std::generate_n(floats.data<float>(), floats.elements(), [&] { return normal(generator); });
  return converted(floats, dtype);
}

/// A host copy that is bf16 noise: normal values repeated with a period that no dimension has.
Tensor large_random(Shape shape, uint64_t seed, float scale = 1) {
  constexpr int64_t kPeriod = 1000003;
  const Tensor some = random_tensor(DType::bf16, {kPeriod}, seed, scale);
  const Tensor all = Tensor::on_host(DType::bf16, std::move(shape));
  for (int64_t at = 0; at < all.elements(); at += kPeriod)
    std::copy_n(some.data<bf16>(), std::min(kPeriod, all.elements() - at), all.data<bf16>() + at);
  return all;
}

void poison(CudaKernels& kernels, const Tensor& out) {
  cuda::check(cudaMemsetAsync(out.raw(), 0xff, static_cast<size_t>(out.bytes()), kernels.stream()),
              "NaN everywhere");
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.bytes())) == 0;
}

/// Errors of `got` beyond one bf16 step of each value and `inside` steps of the largest.
void expect_near(const char* name, const std::vector<float>& got,
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

template <typename F>
double median_us(CudaKernels& kernels, const F& run) {
  cudaEvent_t begin, end;
  cuda::check(cudaEventCreate(&begin), "an event");
  cuda::check(cudaEventCreate(&end), "an event");
  std::vector<float> times_ms(kRuns);
  for (int i = 0; i < kWarmUps; ++i) run();
  for (float& ms : times_ms) {
    cuda::check(cudaEventRecord(begin, kernels.stream()), "an event");
    run();
    cuda::check(cudaEventRecord(end, kernels.stream()), "an event");
    cuda::check(cudaEventSynchronize(end), "an event");
    cuda::check(cudaEventElapsedTime(&ms, begin, end), "an event");
  }
  (void)cudaEventDestroy(begin);
  (void)cudaEventDestroy(end);
  std::sort(times_ms.begin(), times_ms.end());
  return 500.0 * (times_ms[kRuns / 2 - 1] + times_ms[kRuns / 2]);
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

void print(const char* name, const char* what, double us, double flops) {
  std::printf("%-44s %-34.34s %10.1f us %7.1f TFLOP/s\n", name, what, us, flops / us * 1e-6);
  std::fflush(stdout);
}

void print_batch(const char* name, int64_t batch, bool same, double us, double flops) {
  failures += !same;
  print(name, fmt::format("batch {}, {} bytes as alone", batch, same ? "same" : "OTHER").c_str(),
        us, flops);
}

std::string as_chosen(double first_ms) {
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
          median_us(kernels, [&] { run(dnn); }), flops);
  }
}

// ---- attention

struct AttentionCase {
  const char* name;
  int64_t heads, dim, tokens, row_elements;  // of the buffer that q, k and v lie in
  bool bias = false, causal = false;
  double sharpness = 1;  // standard deviation of the scores
};

/// One case in host and device memory: q, k, v side by side in one wide buffer, out in one of its
/// own with room beside it.
class AttentionRun {
 public:
  AttentionRun(CudaKernels& kernels, const AttentionCase& c, int64_t batch)
      : kernels_(kernels), case_(c), cols_(c.heads * c.dim) {
    host_ = large_random({batch, c.tokens, c.row_elements}, 1);
    wide_ = kernels.upload(host_);
    out_ = kernels.allocate(DType::bf16, {batch, c.tokens, cols_ + 64});
    if (!c.bias) return;
    host_bias_ = random_tensor(DType::f32, {c.heads, c.tokens, c.tokens}, 2);
    bias_ = kernels.upload(host_bias_);
  }

  const Tensor& out() const { return out_; }
  double flops() const {
    return 4.0 * static_cast<double>(out_.dim(0) * case_.tokens * case_.tokens * cols_);
  }
  Attention args() const { return args(wide_, out_, bias_); }

  /// Of one call, the first one of its kind; returns its ms.
  double check() const {
    poison(kernels_, out_);
    const double ms = first_call_ms(kernels_, [&] { kernels_.attention(args()); });
    const Tensor got = kernels_.download(out_);
    const auto ref = make_ref_kernels();
    std::vector<float> ours, theirs;
    for (int64_t i = 0; i < kSamples; ++i) {
      const int64_t b = i % out_.dim(0), row = (i * 613 + case_.tokens - 1) % case_.tokens;
      Attention all = args(host_, got, host_bias_);
      const Tensor expected = Tensor::on_host(DType::bf16, {1, 1, cols_});
      Attention one = all;
      one.q = all.q.item(b).middle(row, 1);
      one.k = all.k.item(b);
      one.v = all.v.item(b);
      if (case_.causal) {  // the only query sees the keys up to its own
        one.k = one.k.middle(0, row + 1);
        one.v = one.v.middle(0, row + 1);
        one.causal = false;
      }
      one.out = expected;
      Tensor bias_row;
      if (case_.bias) {
        bias_row = Tensor::on_host(DType::f32, {case_.heads, 1, case_.tokens});
        for (int64_t head = 0; head < case_.heads; ++head)
          std::copy_n(host_bias_.data<float>() + (head * case_.tokens + row) * case_.tokens,
                      case_.tokens, bias_row.data<float>() + head * case_.tokens);
        one.bias = bias_row;
      }
      ref->attention(one);
      for (int64_t c = 0; c < cols_; ++c) {
        ours.push_back(static_cast<float>(all.out.row<bf16>(b, row)[c]));
        theirs.push_back(static_cast<float>(expected.data<bf16>()[c]));
      }
    }
    expect_near(case_.name, ours, theirs, 0.5);
    return ms;
  }

  /// The whole batch in one call must give the bytes of one call for each picture.
  void compare_batch() const {
    poison(kernels_, out_);
    for (int64_t b = 0; b < out_.dim(0); ++b) {
      Attention alone = args();
      for (Rows* rows : {&alone.q, &alone.k, &alone.v, &alone.out}) *rows = rows->item(b);
      kernels_.attention(alone);
    }
    const Tensor apart = kernels_.download(out_);
    poison(kernels_, out_);
    const double us = median_us(kernels_, [&] { kernels_.attention(args()); });
    print_batch(case_.name, out_.dim(0), same_bytes(kernels_.download(out_), apart), us, flops());
  }

 private:
  Attention args(const Tensor& wide, const Tensor& out, const Tensor& bias) const {
    const Rows rows = wide;
    return {
        .q = rows.columns(0, cols_),
        .k = rows.columns(cols_, cols_),
        .v = rows.columns(2 * cols_, cols_),
        .out = Rows(out).columns(0, cols_),
        .heads = case_.heads,
        .scale = static_cast<float>(case_.sharpness / std::sqrt(static_cast<double>(case_.dim))),
        .bias = bias,
        .causal = case_.causal};
  }

  CudaKernels& kernels_;
  const AttentionCase& case_;
  const int64_t cols_;
  Tensor host_, host_bias_, wide_, out_, bias_;
};

const AttentionCase kAttentions[] = {
    {"attention, aligned, 200 tokens", 3, 128, 200, 1200, false, false, 3},
    {"attention, 333 tokens", 2, 64, 333, 384, false, false, 3},
    {"attention, bias, 72 tokens", 4, 64, 72, 768, true},
    {"attention, bias, 77 tokens", 4, 64, 77, 768, true},
    {"attention, rows of odd length", 2, 24, 50, 145, true},
    {"attention, 1 x 136, 30000: longest rows", 1, 136, 30000, 408},
    {"CLIP: 12 x 64, causal, 77", 12, 64, 77, 2304, false, true},
    {"T5: 64 x 64, bias, 256", 64, 64, 256, 12288, true},
    {"T5: 64 x 64, bias, 512", 64, 64, 512, 12288, true},
    {"VAE: 1 x 512, 4096", 1, 512, 4096, 1536},
    {"VAE: 1 x 512, 16384", 1, 512, 16384, 1536},
    {"FLUX: 24 x 128, 4352", 24, 128, 4352, 21504},
    {"FLUX: 24 x 128, 4608", 24, 128, 4608, 21504},
};

void bench_attention(CudaKernels& kernels, bool engines) {
  for (const AttentionCase& c : kAttentions) {
    const bool suits_cudnn = c.row_elements % 8 == 0 && (!c.bias || c.tokens % 8 == 0);
    const AttentionRun run(kernels, c, 1);
    const double first_ms = run.check();
    print(c.name, as_chosen(first_ms).c_str(),
          median_us(kernels, [&] { kernels.attention(run.args()); }), run.flops());
    if (engines && suits_cudnn)
      time_engines(kernels, c.name, run.out(), run.flops(),
                   [&](CudaDnn& dnn) { return dnn.attention(run.args()); });
    if (c.dim <= 128 && suits_cudnn) AttentionRun(kernels, c, 3).compare_batch();
  }
}

// ---- convolutions

struct ConvCase {
  const char* name;
  int64_t side, in, out, kernel;  // x is [side, side, in]
  bool upsample, residual;
  int times;  // in one decode of FLUX's VAE at 1024 x 1024, or 0
};

/// [out, in, k, k] as [out, k, k, in], bf16 on the host.
Tensor channels_last(const Tensor& weight) {
  const int64_t out = weight.dim(0), in = weight.dim(1), taps = weight.dim(2) * weight.dim(3);
  const Tensor to = Tensor::on_host(DType::bf16, {out, weight.dim(2), weight.dim(3), in});
  for (int64_t o = 0; o < out; ++o)
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t c = 0; c < in; ++c)
        to.data<bf16>()[(o * taps + tap) * in + c] = weight.data<bf16>()[(o * in + c) * taps + tap];
  return to;
}

class ConvRun {
 public:
  ConvRun(CudaKernels& kernels, const ConvCase& c, int64_t batch)
      : kernels_(kernels), case_(c), side_(c.upsample ? 2 * c.side : c.side) {
    const auto terms = static_cast<float>(c.in * c.kernel * c.kernel);
    host_x_ = large_random({batch, c.side, c.side, c.in}, 1);
    host_weight_ =
        random_tensor(DType::bf16, {c.out, c.in, c.kernel, c.kernel}, 2, 1 / std::sqrt(terms));
    host_bias_ = random_tensor(DType::bf16, {c.out}, 3);
    x_ = kernels.upload(host_x_);
    weight_ = kernels.load_conv(host_weight_, host_bias_, DType::bf16, c.upsample);
    out_ = kernels.allocate(DType::bf16, {batch, side_, side_, c.out});
    if (!c.residual) return;
    host_residual_ = large_random(out_.shape(), 4);
    residual_ = kernels.upload(host_residual_);
  }

  const Tensor& out() const { return out_; }
  double flops() const {
    return 2.0 * static_cast<double>(out_.elements() * case_.in * case_.kernel * case_.kernel);
  }
  void run() const { kernels_.conv2d(x_, *weight_, residual_, out_); }

  /// The same convolution by cuDNN alone: a picture to be doubled is given to it doubled.
  bool run_with(CudaDnn& dnn) const {
    if (case_.in % 8 != 0 || case_.out % 8 != 0) return false;
    if (laid_out_.empty()) {
      laid_out_ = kernels_.allocate(DType::bf16, {case_.out, case_.kernel, case_.kernel, case_.in});
      bias_ = kernels_.upload(host_bias_);
      input_ = case_.upsample
                   ? kernels_.upload(large_random({x_.dim(0), side_, side_, case_.in}, 5))
                   : x_;
      kernels_.copy_to(large_random(laid_out_.shape(), 6, 0.02f), laid_out_);
    }
    dnn.convolve(input_, laid_out_, bias_, residual_, out_);
    return true;
  }

  /// Of one call, the first one of its kind; returns its ms.
  double check() const {
    return check([&] { run(); });
  }
  template <typename F>
  double check(const F& run) const {
    poison(kernels_, out_);
    const double ms = first_call_ms(kernels_, run);
    const Tensor got = kernels_.download(out_);
    std::vector<float> ours, theirs;
    for (int64_t i = 0; i < kSamples; ++i) {
      const int64_t b = i % out_.dim(0);
      const int64_t row = i == 0 ? 0 : i * 7919 % side_,
                    col = i == 1 ? side_ - 1 : i * 104729 % side_;
      const std::vector<float> expected = expected_at(b, row, col);
      for (int64_t c = 0; c < case_.out; ++c) {
        const int64_t at = ((b * side_ + row) * side_ + col) * case_.out + c;
        ours.push_back(static_cast<float>(got.data<bf16>()[at]));
        theirs.push_back(expected[static_cast<size_t>(c)]);
      }
    }
    expect_near(case_.name, ours, theirs, case_.upsample ? kSummedWeights : 0x1p-14);
    return ms;
  }

  /// A doubled picture's convolution beside that of its four phases.
  void time_doubling() const {
    CudaDnn& dnn = kernels_.dnn();
    const auto time = [&](const char* name, const auto& run) {
      check(run);
      print(case_.name, fmt::format("{}, {}", name, dnn.last_engine()).c_str(),
            median_us(kernels_, run), flops());
    };
    const Tensor doubled = kernels_.upload(doubled_x());
    const Tensor weight = kernels_.upload(channels_last(host_weight_));
    const Tensor bias = kernels_.upload(host_bias_);
    time("doubled", [&] { dnn.convolve(doubled, weight, bias, residual_, out_); });
    time("four phases", [&] { run(); });
  }

  void check_in_place() const {
    if (residual_.empty()) return;
    run();
    const Tensor apart = kernels_.download(out_);
    kernels_.copy_to(host_residual_, out_);
    kernels_.conv2d(x_, *weight_, out_, out_);
    if (same_bytes(kernels_.download(out_), apart)) return;
    ++failures;
    std::printf("%-44s WRONG: other bytes when the residual is the output\n", case_.name);
  }

  /// The whole batch in one call must give the bytes of one call for each picture.
  void compare_batch() const {
    poison(kernels_, out_);
    for (int64_t b = 0; b < out_.dim(0); ++b)
      kernels_.conv2d(x_.slice(b, b + 1), *weight_,
                      residual_.empty() ? residual_ : residual_.slice(b, b + 1),
                      out_.slice(b, b + 1));
    const Tensor apart = kernels_.download(out_);
    poison(kernels_, out_);
    const double us = median_us(kernels_, [&] { run(); });
    print_batch(case_.name, out_.dim(0), same_bytes(kernels_.download(out_), apart), us, flops());
  }

 private:
  /// x [B, H, W, C] with every pixel four times, on the host.
  Tensor doubled_x() const {
    const Tensor to = Tensor::on_host(DType::bf16, {host_x_.dim(0), side_, side_, case_.in});
    for (int64_t b = 0; b < to.dim(0); ++b)
      for (int64_t row = 0; row < side_; ++row)
        for (int64_t col = 0; col < side_; ++col)
          std::copy_n(
              host_x_.data<bf16>() + ((b * case_.side + row / 2) * case_.side + col / 2) * case_.in,
              case_.in, to.data<bf16>() + ((b * side_ + row) * side_ + col) * case_.in);
    return to;
  }

  /// The reference's results at one place, from the pixels around it.
  std::vector<float> expected_at(int64_t b, int64_t row, int64_t col) const {
    const auto ref = make_ref_kernels();
    const int64_t halo = case_.kernel / 2, times = case_.upsample ? 2 : 1;
    const int64_t top = std::max<int64_t>(0, row - halo), left = std::max<int64_t>(0, col - halo);
    const int64_t bottom = std::min(side_, row + halo + 1), right = std::min(side_, col + halo + 1);
    const Tensor around = Tensor::on_host(DType::bf16, {1, bottom - top, right - left, case_.in});
    for (int64_t y = top; y < bottom; ++y)
      for (int64_t x = left; x < right; ++x)
        std::copy_n(host_x_.data<bf16>() +
                        ((b * case_.side + y / times) * case_.side + x / times) * case_.in,
                    case_.in,
                    around.data<bf16>() + ((y - top) * (right - left) + x - left) * case_.in);
    const Tensor result = Tensor::on_host(DType::bf16, {1, bottom - top, right - left, case_.out});
    Tensor residual;
    const int64_t place = ((row - top) * (right - left) + col - left) * case_.out;
    if (case_.residual) {
      residual = Tensor::on_host(DType::bf16, result.shape());
      std::memset(residual.raw(), 0, static_cast<size_t>(residual.bytes()));
      std::copy_n(host_residual_.data<bf16>() + ((b * side_ + row) * side_ + col) * case_.out,
                  case_.out, residual.data<bf16>() + place);
    }
    const auto weight = ref->load_conv(host_weight_, host_bias_, DType::bf16, false);
    ref->conv2d(around, *weight, residual, result);
    const std::vector<float> all = to_floats(result);
    return {all.begin() + place, all.begin() + place + case_.out};
  }

  CudaKernels& kernels_;
  const ConvCase& case_;
  const int64_t side_;  // of out
  Tensor host_x_, host_weight_, host_bias_, host_residual_, x_, out_, residual_;
  std::shared_ptr<ConvWeight> weight_;
  mutable Tensor laid_out_, bias_, input_;  // for run_with
};

const ConvCase kConvs[] = {
    {"conv 3x3 17 -> 33, 20", 20, 17, 33, 3, false, true, 0},
    {"conv 3x3 32 -> 64, 37", 37, 32, 64, 3, false, true, 0},
    {"conv 3x3 48 -> 3, 61", 61, 48, 3, 3, false, true, 0},
    {"conv 1x1 16 -> 5, 61", 61, 16, 5, 1, false, false, 0},
    {"conv 3x3 24 -> 40, doubled, 19", 19, 24, 40, 3, true, false, 0},
    {"conv 3x3 16 -> 512, 128", 128, 16, 512, 3, false, false, 1},
    {"conv 3x3 512 -> 512, 128", 128, 512, 512, 3, false, false, 5},
    {"conv 3x3 512 -> 512, 128, residual", 128, 512, 512, 3, false, true, 5},
    {"conv 3x3 512 -> 512, 128 doubled", 128, 512, 512, 3, true, false, 1},
    {"conv 3x3 512 -> 512, 256", 256, 512, 512, 3, false, false, 3},
    {"conv 3x3 512 -> 512, 256, residual", 256, 512, 512, 3, false, true, 3},
    {"conv 3x3 512 -> 512, 256 doubled", 256, 512, 512, 3, true, false, 1},
    {"conv 3x3 512 -> 256, 512", 512, 512, 256, 3, false, false, 1},
    {"conv 1x1 512 -> 256, 512", 512, 512, 256, 1, false, false, 1},
    {"conv 3x3 256 -> 256, 512", 512, 256, 256, 3, false, false, 2},
    {"conv 3x3 256 -> 256, 512, residual", 512, 256, 256, 3, false, true, 3},
    {"conv 3x3 256 -> 256, 512 doubled", 512, 256, 256, 3, true, false, 1},
    {"conv 3x3 256 -> 128, 1024", 1024, 256, 128, 3, false, false, 1},
    {"conv 1x1 256 -> 128, 1024", 1024, 256, 128, 1, false, false, 1},
    {"conv 3x3 128 -> 128, 1024", 1024, 128, 128, 3, false, false, 2},
    {"conv 3x3 128 -> 128, 1024, residual", 1024, 128, 128, 3, false, true, 3},
    {"conv 3x3 128 -> 3, 1024", 1024, 128, 3, 3, false, false, 1},
};

void bench_doubling(CudaKernels& kernels) {
  for (const ConvCase& c : kConvs)
    if (c.upsample) ConvRun(kernels, c, 1).time_doubling();
}

void bench_convolutions(CudaKernels& kernels, bool engines) {
  double decode_us = 0, decode_flops = 0;
  for (const ConvCase& c : kConvs) {
    const ConvRun run(kernels, c, 1);
    const double first_ms = run.check();
    run.check_in_place();
    const double us = median_us(kernels, [&] { run.run(); });
    print(c.name, as_chosen(first_ms).c_str(), us, run.flops());
    decode_us += us * c.times;
    decode_flops += run.flops() * c.times;
    if (engines)
      time_engines(kernels, c.name, run.out(), run.flops(),
                   [&](CudaDnn& dnn) { return run.run_with(dnn); });
    if (c.side <= 256) ConvRun(kernels, c, 3).compare_batch();
  }
  print("all convolutions of one decode, 1024 x 1024", "as chosen", decode_us, decode_flops);
}

}  // namespace
}  // namespace fluxq

int main(int argc, char** argv) {
  const std::string_view option = argc > 1 ? argv[1] : "";
  try {
    fluxq::CudaKernels kernels;
    std::printf("cuDNN %zu\n", cudnnGetVersion());
    if (option == "--doubled") {
      fluxq::bench_doubling(kernels);
    } else {
      fluxq::bench_attention(kernels, option == "--engines");
      fluxq::bench_convolutions(kernels, option == "--engines");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  std::printf("%d of the checks failed\n", fluxq::failures);
  return fluxq::failures > 0;
}
