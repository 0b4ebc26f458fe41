// Convolutions at the sizes of FLUX's VAE.

#include "cuda_dnn_bench.h"
#include "kernels/ref/ref_kernels.h"

namespace fluxq {
namespace {

// Sums of weights rounded to bf16 move results by 2^-10 of their norm; the largest error of
// thousands is some 4 times, the largest result too.
constexpr double kSummedWeights = 0x1p-2;

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
            median_us(kernels_, kSampling, run), flops());
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
    const double us = median_us(kernels_, kSampling, [&] { run(); });
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

}  // namespace

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
    const double us = median_us(kernels, kSampling, [&] { run.run(); });
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

}  // namespace fluxq
