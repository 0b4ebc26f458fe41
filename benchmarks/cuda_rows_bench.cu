// The GPU's memory-bound kernels: first a check against the reference (kernels/ref) and the host's
// formats on new random values, then the time of each at FLUX.1's shapes (1024 x 1024, 512 text
// tokens). Prints one line per kernel: what it moves is counted once, read or written.
//
//   cuda_rows_bench            checks and times of all kernels
//   cuda_rows_bench check      only checks
//   cuda_rows_bench quantize   checks, and times of a denoising step's quantizing passes

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>

#include "cuda_bench.h"
#include "kernels/ref/ref_kernels.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/formats/e4m3.h"
#include "quant/formats/s4.h"
#include "quant/formats/s8.h"

namespace fluxq {
namespace {

Tensor random_bf16(Shape shape, float spread = 1) {
  static std::mt19937_64 generator(std::random_device{}());
  std::normal_distribution<float> normal;
  Tensor tensor = Tensor::on_host(DType::bf16, std::move(shape));
  for (int64_t i = 0; i < tensor.elements(); ++i)
    tensor.data<bf16>()[i] = bf16(spread * normal(generator));
  return tensor;
}

Tensor poisoned(DType dtype, Shape shape) {
  const Tensor tensor = Tensor::on_host(dtype, std::move(shape));
  std::memset(tensor.raw(), 0xff, static_cast<size_t>(tensor.bytes()));  // NaN
  return tensor;
}

// ---- checks

int failures = 0;

void report(const std::string& name, bool good, const std::string& detail) {
  std::printf("%-4s %-44s %s\n", good ? "ok" : "BAD", name.c_str(), detail.c_str());
  failures += !good;
}

using Operation = std::function<void(Kernels&, const std::vector<Tensor>&)>;

// Runs on both devices on copies of `operands` and compares the last one.
void check_operation(CudaKernels& gpu, const std::string& name, std::vector<Tensor> operands,
                     const Operation& run) {
  const auto ref = make_ref_kernels();
  std::vector<Tensor> here, there;
  for (const Tensor& operand : operands) {
    Tensor copy = Tensor::on_host(operand.dtype(), operand.shape());
    ref->copy_to(operand, copy);
    here.push_back(copy);
    there.push_back(gpu.upload(operand));
  }
  run(*ref, here);
  run(gpu, there);
  const std::vector<float> got = to_floats(gpu.download(there.back()));
  const std::vector<float> expected = to_floats(here.back());
  double worst = 0, largest = 0;
  int64_t same = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - expected[i]);
    worst = std::isfinite(error) ? std::max(worst, error) : INFINITY;
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    same += got[i] == expected[i];
  }
  const double share = static_cast<double>(same) / static_cast<double>(got.size());
  // One or two steps of bf16 at the largest value; nearly all values with the same bits.
  report(name, worst <= 0x1p-6 * largest && share > 0.97,
         fmt::format("largest error {:.2g} of {:.2g}, {:.2f} % the same", worst, largest,
                     100 * share));
}

// A row's codes and scale against the host's, of what the producer gives.
void check_codes(CudaKernels& gpu, const std::string& name, const Producer& p, bool s8) {
  const int64_t batch = p.x.batch, rows = batch * p.x.rows, cols = p.x.cols;
  const Shape shape = {batch, p.x.rows, cols};
  const Tensor codes = gpu.upload(poisoned(s8 ? DType::i8 : DType::f8_e4m3, shape));
  const Tensor scale = gpu.upload(poisoned(DType::f32, {rows}));
  const Tensor produced = gpu.upload(poisoned(DType::bf16, shape));
  (s8 ? cuda::quantize_rows_s8 : cuda::quantize_rows_e4m3)(gpu, p, codes, scale.data<float>());
  gpu.produce(p, produced);
  const Tensor got = gpu.download(codes), scales = gpu.download(scale);
  const std::vector<float> values = to_floats(gpu.download(produced));
  std::vector<uint8_t> expected(static_cast<size_t>(cols));
  int64_t wrong = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const float* from = values.data() + row * cols;
    const float s = s8 ? s8_quantize(from, cols, reinterpret_cast<int8_t*>(expected.data()))
                       : e4m3_quantize(from, cols, expected.data());
    const auto* ours = static_cast<const uint8_t*>(got.raw()) + row * cols;
    wrong += scales.data<float>()[row] != s;
    for (int64_t i = 0; i < cols; ++i) wrong += ours[i] != expected[static_cast<size_t>(i)];
  }
  report(name, wrong == 0, fmt::format("{} of {} codes and scales differ", wrong, rows * cols));
}

void check_all(CudaKernels& gpu) {
  constexpr int64_t kRows = 37, kCols = 3072;
  const auto modulated = [](Kernels& kernels, const std::vector<Tensor>& t) {
    Producer p = {.kind = Producer::Kind::layer_norm, .x = t[0], .eps = 1e-6f};
    p.shift = t[1], p.scale = t[2];
    kernels.produce(p, t[3]);
  };
  check_operation(gpu, "layer_norm, modulated",
                  {random_bf16({2, kRows, kCols}), random_bf16({2, 1, kCols}),
                   random_bf16({2, 1, kCols}), poisoned(DType::bf16, {2, kRows, kCols})},
                  modulated);
  check_operation(
      gpu, "rms_norm",
      {random_bf16({1, kRows, 4096}), random_bf16({4096}), poisoned(DType::bf16, {1, kRows, 4096})},
      [](Kernels& kernels, const std::vector<Tensor>& t) {
        Producer p = {.kind = Producer::Kind::rms_norm, .x = t[0], .eps = 1e-6f};
        p.weight = t[1];
        kernels.produce(p, t[2]);
      });
  check_operation(gpu, "gelu_tanh * factor",
                  {random_bf16({1, kRows, 10240}, 3), random_bf16({1, kRows, 10240}),
                   poisoned(DType::bf16, {1, kRows, 10240})},
                  [](Kernels& kernels, const std::vector<Tensor>& t) {
                    kernels.produce({.x = t[0], .act = Act::gelu_tanh, .factor = t[1]}, t[2]);
                  });
  check_operation(gpu, "apply: bias, gate, residual",
                  {random_bf16({2, kRows, kCols}), random_bf16({kCols}), random_bf16({2, 1, kCols}),
                   random_bf16({2, kRows, kCols})},
                  [](Kernels& kernels, const std::vector<Tensor>& t) {
                    kernels.apply({.bias = t[1], .gate = t[2], .residual = t[3]}, t[0], t[3]);
                  });
  const Tensor rope = Tensor::on_host(DType::f32, {kRows, 64, 2});
  for (int64_t i = 0; i < kRows * 64; ++i) {
    rope.data<float>()[2 * i] = std::cos(0.1f * static_cast<float>(i));
    rope.data<float>()[2 * i + 1] = std::sin(0.1f * static_cast<float>(i));
  }
  for (const int64_t begin : {0, 8})  // q and k in one buffer: compares all of it
    check_operation(gpu, fmt::format("qk_norm_rope, columns from {}", begin),
                    {random_bf16({128}), random_bf16({128}), rope, random_bf16({2, kRows, 9216})},
                    [begin](Kernels& kernels, const std::vector<Tensor>& t) {
                      kernels.qk_norm_rope(Rows(t[3]).columns(begin, 3072),
                                           Rows(t[3]).columns(begin + 3072, 3072), t[0], t[1], t[2],
                                           1e-6f);
                    });
  for (const int64_t channels : {128, 256, 512})
    check_operation(gpu, fmt::format("group_norm, silu, {} channels", channels),
                    {random_bf16({2, 45, 51, channels}, 2), random_bf16({channels}),
                     random_bf16({channels}), poisoned(DType::bf16, {2, 45, 51, channels})},
                    [](Kernels& kernels, const std::vector<Tensor>& t) {
                      kernels.group_norm(t[0], 32, t[1], t[2], 1e-6f, true, t[3]);
                    });
  for (const bool s8 : {true, false})
    for (const int64_t cols : {3072, 12288})
      for (const bool norm : {false, true}) {
        const Tensor x = gpu.upload(random_bf16({2, kRows, cols}));
        const Tensor shift = gpu.upload(random_bf16({2, 1, cols}));
        const Tensor scale = gpu.upload(random_bf16({2, 1, cols}));
        Producer p = {.x = x, .eps = 1e-6f};
        if (norm) p.kind = Producer::Kind::layer_norm, p.shift = shift, p.scale = scale;
        check_codes(gpu,
                    fmt::format("{} codes of {}rows of {}", s8 ? "s8" : "e4m3",
                                norm ? "modulated " : "", cols),
                    p, s8);
      }
}

// ---- times

// Median of 30 samples of 8 calls in a row on changing memory, so that little of what is large is
// in the cache.
class Timer {
 public:
  explicit Timer(const CudaKernels& gpu) : gpu_(gpu) {}

  // `bytes` is what one call moves; run(i) uses the i-th of copies(bytes) sets of operands.
  static int copies(double bytes) { return std::clamp(static_cast<int>(4e8 / bytes), 1, 8); }
  void operator()(const std::string& name, const std::string& shape, double bytes,
                  const std::function<void(int)>& run) const {
    int call = 0;
    const double us = median_us(gpu_, {.warm_ups = 24, .samples = 30, .launches = 8},
                                [&] { run(call++ % copies(bytes)); });
    std::printf("| %-40s | %-22s | %8.1f | %6.0f | %3.0f %% |\n", name.c_str(), shape.c_str(), us,
                bytes / us / 1e3, bytes / us / 1e3 / 30);
  }

 private:
  const CudaKernels& gpu_;
};

class Times {
 public:
  explicit Times(CudaKernels& gpu) : gpu_(gpu), time_(gpu) {}

  // A denoising step's: image and 256 tokens of text, and the text alone.
  void quantizing() {
    std::printf("| kernel | shape | us | GB/s | of 3.0 TB/s |\n|---|---|---|---|---|\n");
    for (const int64_t rows : {4352, 256}) norms(rows, 3072);
    for (const int64_t cols : {3072, 12288}) plain(4352, cols);
  }
  void all() {
    quantizing();
    for (const int64_t rows : {4608, 512}) norms(rows, 3072);
    for (const int64_t cols : {3072, 12288, 15360}) plain(4608, cols);
    t5(512);
    attention_inputs(4608);
    apply(4608, 3072);
    for (const auto& [side, channels] : {std::pair<int64_t, int64_t>{1024, 128},
                                         {1024, 256},
                                         {512, 256},
                                         {512, 512},
                                         {256, 512},
                                         {128, 512}})
      group_norm(side, channels);
    weights(12288, 3072);
  }

 private:
  Tensor random(Shape shape) {
    Tensor tensor = gpu_.allocate(DType::bf16, std::move(shape));
    gpu_.fill_random(tensor, ++key_, 0, 1);
    return tensor;
  }
  std::vector<Tensor> copies(double bytes, DType dtype, const Shape& shape) {
    std::vector<Tensor> all;
    for (int i = 0; i < Timer::copies(bytes); ++i) {
      all.push_back(gpu_.allocate(dtype, shape));
      if (dtype == DType::bf16) gpu_.fill_random(all.back(), ++key_, 0, 1);
    }
    return all;
  }
  static std::string shape_of(int64_t rows, int64_t cols) {
    return fmt::format("{} x {}", rows, cols);
  }

  // All sinks of a producer whose x is a bf16 [1, rows, cols] and which reads `reads` such.
  void sinks(const std::string& name, Producer producer, int64_t rows, int64_t cols, int reads,
             bool factor = false) {
    const double elements = static_cast<double>(rows * cols), bytes = elements * (2 * reads + 1);
    const std::vector<Tensor> x = copies(bytes, DType::bf16, {1, rows, cols});
    const std::vector<Tensor> other =
        factor ? copies(bytes, DType::bf16, {1, rows, cols}) : std::vector<Tensor>();
    const std::vector<Tensor> codes = copies(bytes, DType::i8, {1, rows, cols});
    const std::vector<Tensor> out = copies(bytes, DType::bf16, {1, rows, cols});
    const Tensor scale = gpu_.allocate(DType::f32, {rows});
    const auto input = [&](int i) {
      producer.x = x[static_cast<size_t>(i)];
      if (factor) producer.factor = other[static_cast<size_t>(i)];
      return producer;
    };
    const std::string shape = shape_of(rows, cols);
    time_(name + " -> s8 rows", shape, bytes, [&](int i) {
      cuda::quantize_rows_s8(gpu_, input(i), codes[static_cast<size_t>(i)], scale.data<float>());
    });
    time_(name + " -> e4m3 rows", shape, bytes, [&](int i) {
      cuda::quantize_rows_e4m3(gpu_, input(i), codes[static_cast<size_t>(i)], scale.data<float>());
    });
    time_(name + " -> e4m3 sample", shape, bytes + elements * 2 * reads, [&](int i) {
      cuda::quantize_samples_e4m3(gpu_, input(i), codes[static_cast<size_t>(i)],
                                  scale.data<float>());
    });
    time_(name + " -> bf16", shape, elements * 2 * (reads + 1),
          [&](int i) { gpu_.produce(input(i), out[static_cast<size_t>(i)]); });
  }

  void norms(int64_t rows, int64_t cols) {
    const Tensor shift = random({1, 1, cols}), scale = random({1, 1, cols});
    Producer p = {.kind = Producer::Kind::layer_norm, .eps = 1e-6f};
    p.shift = shift, p.scale = scale;
    sinks("layer_norm, modulated", p, rows, cols, 1);
  }
  void plain(int64_t rows, int64_t cols) {
    sinks("plain", {}, rows, cols, 1);
    if (cols == 12288) sinks("gelu_tanh", {.act = Act::gelu_tanh}, rows, cols, 1);
  }
  void t5(int64_t rows) {
    Producer p = {.kind = Producer::Kind::rms_norm, .eps = 1e-6f};
    p.weight = random({4096});
    sinks("rms_norm", p, rows, 4096, 1);
    sinks("gelu_tanh * factor", {.act = Act::gelu_tanh}, rows, 10240, 2, true);
  }
  void attention_inputs(int64_t rows) {
    const double bytes = static_cast<double>(rows) * 6144 * 4;
    const std::vector<Tensor> wide = copies(bytes, DType::bf16, {1, rows, 21504});
    const Tensor weight = random({128}), rope = gpu_.allocate(DType::f32, {rows, 64, 2});
    gpu_.fill_random(rope, 1, 0, 1);
    time_("qk_norm_rope, 24 heads", fmt::format("{} x 6144 of 21504", rows), bytes, [&](int i) {
      const Rows all = wide[static_cast<size_t>(i)];
      gpu_.qk_norm_rope(all.columns(0, 3072), all.columns(3072, 3072), weight, weight, rope, 1e-6f);
    });
  }
  void apply(int64_t rows, int64_t cols) {
    const double bytes = static_cast<double>(rows * cols) * 6;
    const std::vector<Tensor> acc = copies(bytes, DType::bf16, {1, rows, cols});
    const std::vector<Tensor> out = copies(bytes, DType::bf16, {1, rows, cols});
    const Tensor gate = random({1, 1, cols}), bias = random({cols});
    time_("apply: bias, gate, residual", shape_of(rows, cols), bytes, [&](int i) {
      const Tensor& residual = out[static_cast<size_t>(i)];
      gpu_.apply({.bias = bias, .gate = gate, .residual = residual}, acc[static_cast<size_t>(i)],
                 residual);
    });
  }
  void group_norm(int64_t side, int64_t channels) {
    const Shape shape = {1, side, side, channels};
    const double bytes = static_cast<double>(side * side * channels) * 6;
    const std::vector<Tensor> x = copies(bytes, DType::bf16, shape);
    const std::vector<Tensor> out = copies(bytes, DType::bf16, shape);
    const Tensor weight = random({channels}), bias = random({channels});
    time_("group_norm, silu", fmt::format("{0} x {0} x {1}", side, channels), bytes, [&](int i) {
      gpu_.group_norm(x[static_cast<size_t>(i)], 32, weight, bias, 1e-6f, true,
                      out[static_cast<size_t>(i)]);
    });
  }
  void weights(int64_t out, int64_t in) {
    const double elements = static_cast<double>(out * in);
    const Tensor values = random({out, in}), qdata = gpu_.allocate(DType::i8, {out, in / 2});
    const Tensor scale = gpu_.allocate(DType::bf16, {in / kS4Group, out});
    const Tensor zero_point = gpu_.allocate(DType::bf16, {in / kS4Group, out});
    const Tensor codes = gpu_.allocate(DType::i8, {out, in});
    const Tensor row_scale = gpu_.allocate(DType::f32, {out, 1});
    const Tensor metadata = gpu_.allocate(DType::u8, {out, in / 8});
    const std::string shape = shape_of(out, in);
    time_("fill_random", shape, elements * 2,
          [&](int i) { gpu_.fill_random(values, static_cast<uint64_t>(i), 0, 1); });
    time_("quantize_groups_s4", shape, elements * 2.5,
          [&](int) { cuda::quantize_groups_s4(gpu_, values, qdata, scale, zero_point); });
    time_("expand_groups_s4", shape, elements * 2.5,
          [&](int) { cuda::expand_groups_s4(gpu_, qdata, scale, zero_point, values); });
    time_("prune_and_quantize_s8", shape, elements * 3,
          [&](int) { cuda::prune_and_quantize_s8(gpu_, values, codes, row_scale); });
    time_("compress_sparse24", shape, elements * 1.625,
          [&](int) { cuda::compress_sparse24(gpu_, codes, qdata, metadata); });
    time_("expand_sparse24", shape, elements * 1.625,
          [&](int) { cuda::expand_sparse24(gpu_, qdata, metadata, codes); });
  }

  CudaKernels& gpu_;
  Timer time_;
  uint64_t key_ = 0;
};

}  // namespace
}  // namespace fluxq

int main(int argc, char** argv) try {
  fluxq::CudaKernels gpu;
  fluxq::check_all(gpu);
  const std::string only = argc > 1 ? argv[1] : "";
  if (fluxq::failures == 0 && only == "quantize") fluxq::Times(gpu).quantizing();
  if (fluxq::failures == 0 && only.empty()) fluxq::Times(gpu).all();
  return fluxq::failures == 0 ? 0 : 1;
} catch (const fluxq::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
