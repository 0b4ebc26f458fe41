/// Convolutions, channels last, as oneDNN primitives on tiles of few picture rows: x is read where
/// it lies, with the rows that the kernel reaches above and below the tile, and zero padding where
/// the picture ends. The residual is added by the primitive to what stands in its output. Tiles
/// depend on the picture's size alone.
///
/// After upsampling, an output pixel sees each pixel of x under two taps of its 3 x 3 kernel in a
/// row or column, or under one: so each of its four phases (even or odd row and column) is a 2 x 2
/// convolution of x itself by summed weights, with 4/9 of the products. That is done in f32; bf16
/// would round the sums, so there the primitive gets an upsampled copy of its tile. Copies, also
/// those that widen bf16 where the processor has no bf16 products, are in the thread's scratch.
#include <cstring>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/row_values.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/tile_conv.h"
#include "kernels/operands.h"

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

  int64_t copies() const { return upsample && step == 1 ? 2 : 1; }  // of each pixel of x
};

/// Sums of the taps of weight [out, in, 3, 3] that see the same pixel of x: [out, in, 2, 2].
Tensor phase_weight(const Tensor& weight, int64_t row, int64_t col) {
  const Tensor sums = Tensor::on_host(DType::f32, {weight.dim(0), weight.dim(1), 2, 2});
  for (int64_t filter = 0; filter < weight.dim(0) * weight.dim(1); ++filter) {
    double taps[2][2] = {};
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 3; ++j)  // the first pixel is seen by 1 tap in phase 0, 2 in phase 1
        taps[i > row][j > col] += weight.data<float>()[(filter * 3 + i) * 3 + j];
    for (int64_t i = 0; i < 4; ++i)
      sums.data<float>()[filter * 4 + i] = static_cast<float>(taps[i / 2][i % 2]);
  }
  return sums;
}

/// One conv2d: its tiles, and what each does.
class Convolution {
 public:
  Convolution(CpuKernels& kernels, const CpuConvWeight& weight, const Tensor& x,
              const Tensor& residual, const Tensor& out);
  void run();

 private:
  struct Part {
    int64_t first, rows;      // of the tile, counted in steps of the output
    int64_t x_first, x_rows;  // that it reads, of x (copied as often as `copies` says)
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
  const int64_t height_, width_;  // of the output in steps; as those of x, copied
  const bool gathered_, direct_;  // x is read from scratch; out is written where it lies
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
      height_(out.dim(1) / weight.step),
      width_(out.dim(2) / weight.step),
      gathered_(weight.copies() > 1 || x.dtype() != weight.run_type),
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
  if (gathered_)
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
  const int64_t channels = x_.dim(3), row_elements = x_.dim(2) * channels;
  const auto row_of = [&](int64_t row) {
    return static_cast<const std::byte*>(x_.raw()) +
           (batch * x_.dim(1) + row) * row_elements * dtype_bytes(x_.dtype());
  };
  if (!gathered_) return row_of(part.x_first);
  if (weight_.copies() == 1) {
    cpu::widen(row_of(part.x_first), x_.dtype(), part.x_rows * row_elements,
               reinterpret_cast<float*>(scratch));
    return scratch;
  }
  const int64_t pixel_bytes = channels * dtype_bytes(weight_.run_type);
  const int64_t row_bytes = width_ * pixel_bytes;
  std::byte* to = scratch;
  for (int64_t row = part.x_first; row < part.x_first + part.x_rows; ++row) {
    if (row > part.x_first && row % 2 == 1) {
      std::memcpy(to, to - row_bytes, static_cast<size_t>(row_bytes));
      to += row_bytes;
      continue;
    }
    const std::byte* from = row_of(row / 2);
    for (int64_t col = 0; col < width_; ++col, to += pixel_bytes)
      std::memcpy(to, from + col / 2 * pixel_bytes, static_cast<size_t>(pixel_bytes));
  }
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
      cpu::narrow(reinterpret_cast<const float*>(sums) + sum, count, stream,
                  static_cast<std::byte*>(out_.raw()) + at * size);
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
    if (upsample && loaded->run_type == DType::f32) {
      loaded->step = 2;
      for (const auto& [row, col] : {std::pair{0, 0}, {0, 1}, {1, 0}, {1, 1}})
        loaded->phases.push_back({row, col, 1 - row, row, 1 - col, col,
                                  TileConvs(phase_weight(values, row, col), biases)});
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
