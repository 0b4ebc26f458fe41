/// Convolutions, channels last, as oneDNN primitives on tiles of few picture rows: x is read where
/// it lies, with the rows that the kernel reaches above and below the tile, and zero padding where
/// the picture ends. The residual is added by the primitive to what stands in its output. Tiles
/// depend on the picture's size alone.
///
/// An upsampling convolution is four, of x itself (kernels/upsampling.h), whose results go through
/// the thread's scratch to their places in the doubled picture; so do copies that widen bf16 where
/// the processor has no bf16 products.
#include <cstring>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/row_values.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/tile_conv.h"
#include "kernels/operands.h"
#include "kernels/upsampling.h"

namespace fluxq {
namespace {

using onednn::TileConv, onednn::TileConvs, onednn::with_errors;

// A tile's larger side (input or output), if the picture allows: it should stay in a core's cache
// between reading and writing; oneDNN is as fast on 4 rows as on 64.
constexpr int64_t kTileElements = 16384;
constexpr int64_t kLeastRows = 4, kMostRows = 32;

/// Which output pixels a convolution computes, and how far its kernel reaches beyond them in x.
struct Phase {
  int64_t row, col;  // first output pixel; the others are `step` apart
  int64_t above, below, left, right;
  TileConvs convs;
};

struct CpuConvWeight final : ConvWeight {
  DType stream = DType::f32;
  DType run_type = DType::f32;  // the stream's or, where oneDNN cannot compute with it, f32
  int64_t step = 1;             // 2: four phases
  std::vector<Phase> phases;
};

/// One conv2d: its tiles, and what each does.
class Convolution {
 public:
  Convolution(CpuKernels& kernels, const CpuConvWeight& weight, const Tensor& x,
              const Tensor& residual, const Tensor& out);
  void run();

 private:
  struct Part {
    int64_t first, rows;      // of the tile, counted in steps of the output
    int64_t x_first, x_rows;  // that it reads, of x
    std::vector<std::shared_ptr<const TileConv>> convs;  // of each phase
  };
  Part part(int64_t first, int64_t rows) const;
  void run(int64_t batch, const Part& part, std::byte* scratch) const;
  const std::byte* input(int64_t batch, const Part& part, std::byte* scratch) const;
  template <typename F>
  void for_each_run(int64_t batch, const Part& part, const Phase& phase, const F& f) const;

  CpuKernels& kernels_;
  const CpuConvWeight& weight_;
  const Tensor &x_, &residual_, &out_;
  const int64_t height_, width_;  // of x, and of the output in steps
  const bool widened_, direct_;   // x is read from scratch; out is written where it lies
  std::vector<Part> parts_;
  int64_t x_bytes_ = 0, sum_bytes_ = 0, scratch_bytes_ = 0;  // of a thread
};

int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

Convolution::Convolution(CpuKernels& kernels, const CpuConvWeight& weight, const Tensor& x,
                         const Tensor& residual, const Tensor& out)
    : kernels_(kernels),
      weight_(weight),
      x_(x),
      residual_(residual),
      out_(out),
      height_(x.dim(1)),
      width_(x.dim(2)),
      widened_(x.dtype() != weight.run_type),
      direct_(weight.step == 1 && out.dtype() == weight.run_type) {
  const int64_t type_bytes = dtype_bytes(weight.run_type);
  const int64_t row_elements = width_ * std::max(weight.in_channels, weight.out_channels);
  const int64_t tile_rows = std::clamp(kTileElements / row_elements, kLeastRows, kMostRows);
  const onednn::SingleThread single;
  for (int64_t first = 0; first < height_; first += tile_rows) {
    parts_.push_back(part(first, std::min(tile_rows, height_ - first)));
    for (const auto& conv : parts_.back().convs)
      scratch_bytes_ = std::max(scratch_bytes_, aligned(conv->scratch.get_size()));
  }
  if (widened_)
    x_bytes_ = aligned((tile_rows + weight.kernel - 1) * width_ * weight.in_channels * type_bytes);
  if (!direct_) sum_bytes_ = aligned(tile_rows * width_ * weight.out_channels * type_bytes);
}

Convolution::Part Convolution::part(int64_t first, int64_t rows) const {
  const int64_t halo = weight_.kernel / 2;
  const int64_t x_first = std::max<int64_t>(0, first - halo);
  Part part{first, rows, x_first, std::min(height_, first + rows + halo) - x_first, {}};
  for (const Phase& phase : weight_.phases)
    part.convs.push_back(phase.convs.tile({rows, width_, first == 0 ? phase.above : 0,
                                           first + rows == height_ ? phase.below : 0, phase.left,
                                           phase.right, /*add=*/!residual_.empty()}));
  return part;
}

void Convolution::run() {
  const Arena::Scope scope(kernels_.arena());
  const auto parts = static_cast<int64_t>(parts_.size());
  const int64_t bytes = x_bytes_ + sum_bytes_ + scratch_bytes_;
  const cpu::ThreadScratch scratch(kernels_, bytes);
  kernels_.pool().parallel_for(out_.dim(0) * parts, [&](int64_t piece, int worker) {
    const onednn::SingleThread single;
    run(piece / parts, parts_[piece % parts], scratch.of<std::byte>(worker));
  });
}

/// The tile's rows of x from x_first on.
const std::byte* Convolution::input(int64_t batch, const Part& part, std::byte* scratch) const {
  const int64_t row_elements = width_ * weight_.in_channels;
  const std::byte* x = static_cast<const std::byte*>(x_.raw()) +
                       (batch * height_ + part.x_first) * row_elements * dtype_bytes(x_.dtype());
  if (!widened_) return x;
  cpu::widen(x, x_.dtype(), part.x_rows * row_elements, reinterpret_cast<float*>(scratch));
  return scratch;
}

/// f(first element in out, first element in the tile's sums, elements) for what lies in one piece.
template <typename F>
void Convolution::for_each_run(int64_t batch, const Part& part, const Phase& phase,
                               const F& f) const {
  const int64_t channels = weight_.out_channels, step = weight_.step;
  const auto at = [&](int64_t row, int64_t col) {
    return ((batch * out_.dim(1) + (part.first + row) * step + phase.row) * out_.dim(2) +
            col * step + phase.col) *
           channels;
  };
  if (step == 1) return f(at(0, 0), 0, part.rows * width_ * channels);
  for (int64_t row = 0; row < part.rows; ++row)
    for (int64_t col = 0; col < width_; ++col)
      f(at(row, col), (row * width_ + col) * channels, channels);
}

void Convolution::run(int64_t batch, const Part& part, std::byte* scratch) const {
  const DType stream = out_.dtype(), run_type = weight_.run_type;
  const int64_t size = dtype_bytes(stream), run_size = dtype_bytes(run_type);
  const std::byte* x = input(batch, part, scratch);
  for (size_t i = 0; i < weight_.phases.size(); ++i) {
    const Phase& phase = weight_.phases[i];
    std::byte* sums = scratch + x_bytes_;
    if (direct_)
      for_each_run(batch, part, phase, [&](int64_t at, int64_t, int64_t) {
        sums = static_cast<std::byte*>(out_.raw()) + at * size;
      });
    if (!residual_.empty())
      for_each_run(batch, part, phase, [&](int64_t at, int64_t sum, int64_t count) {
        const std::byte* from = static_cast<const std::byte*>(residual_.raw()) + at * size;
        std::byte* to = sums + sum * run_size;
        if (stream != run_type)
          cpu::widen(from, stream, count, reinterpret_cast<float*>(to));
        else if (from != to)
          std::memcpy(to, from, static_cast<size_t>(count * size));
      });
    const int64_t skipped = std::max<int64_t>(0, part.first - phase.above) - part.x_first;
    phase.convs.run(*part.convs[i], x + skipped * width_ * weight_.in_channels * run_size, sums,
                    scratch + x_bytes_ + sum_bytes_);
    if (direct_) continue;
    for_each_run(batch, part, phase, [&](int64_t at, int64_t sum, int64_t count) {
      const std::byte* from = sums + sum * run_size;
      std::byte* to = static_cast<std::byte*>(out_.raw()) + at * size;
      if (stream != run_type)
        cpu::narrow(reinterpret_cast<const float*>(from), count, stream, to);
      else
        std::memcpy(to, from, static_cast<size_t>(count * size));
    });
  }
}

}  // namespace

std::shared_ptr<ConvWeight> CpuKernels::load_conv(const Tensor& weight, const Tensor& bias,
                                                  DType stream, bool upsample) {
  check_load_conv(weight, bias, stream, upsample);
  auto loaded = std::make_shared<CpuConvWeight>();
  loaded->out_channels = weight.dim(0);
  loaded->in_channels = weight.dim(1);
  loaded->kernel = weight.dim(2);
  loaded->upsample = upsample;
  loaded->stream = stream;
  loaded->run_type = stream == DType::bf16 && onednn::has_bf16() ? DType::bf16 : DType::f32;
  const Tensor values = converted(converted(weight, stream), loaded->run_type);
  const Tensor biases = converted(converted(bias, stream), DType::f32);
  const onednn::SingleThread single;
  with_errors("convolution weight", [&] {
    if (upsample) {
      loaded->step = 2;
      const Tensor floats = converted(values, DType::f32);
      for (int64_t i = 0; i < kPhases; ++i) {
        const int64_t row = i / 2, col = i % 2;
        const Tensor sums = converted(phase_weight(floats, row, col), stream);
        loaded->phases.push_back({row, col, 1 - row, row, 1 - col, col,
                                  TileConvs(converted(sums, loaded->run_type), biases)});
      }
    } else {
      const int64_t halo = loaded->kernel / 2;
      loaded->phases.push_back({0, 0, halo, halo, halo, halo, TileConvs(values, biases)});
    }
  });
  for (const Phase& phase : loaded->phases) loaded->bytes += phase.convs.bytes();
  return loaded;
}

void CpuKernels::conv2d(const Tensor& x, const ConvWeight& weight, const Tensor& residual,
                        const Tensor& out) {
  check_conv2d(x, weight, residual, out);
  const auto& loaded = dynamic_cast<const CpuConvWeight&>(weight);
  if (x.dtype() != loaded.stream)
    fail(ErrorCode::internal, "conv2d: expected x of {}, got {}", dtype_name(loaded.stream),
         dtype_name(x.dtype()));
  if (out.elements() == 0) return;
  with_errors("convolution", [&] { Convolution(*this, loaded, x, residual, out).run(); });
}

}  // namespace fluxq
