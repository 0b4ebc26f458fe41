/// Convolutions, channels last, as oneDNN primitives on tiles of few picture rows: x is read where
/// it lies, with one row above and below the tile, and zero padding where the picture ends. Only
/// what the primitive cannot read goes through the thread's scratch: an upsampled tile, and bf16
/// where the processor has no bf16 products (it is widened to f32). The residual is added by the
/// primitive to what stands in the output. Tiles depend on the picture's size alone.
#include <cstring>
#include <map>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/row_values.h"
#include "kernels/operands.h"

namespace fluxq {
namespace {

using dnnl::memory;

// A tile's larger side (input or output), if the picture allows: it should stay in a core's cache
// between reading and writing; oneDNN is as fast on 4 rows as on 64.
constexpr int64_t kTileElements = 16384;
constexpr int64_t kLeastRows = 4, kMostRows = 32;
// Tile shapes whose primitives are kept: a model at one picture size needs at most 4 of a weight.
constexpr size_t kKeptTiles = 64;

struct TileShape {
  int64_t rows, width;          // of the output
  bool at_top, at_bottom, add;  // whether zero padding begins above, below; out = conv + out
  auto operator<=>(const TileShape&) const = default;
};

memory::data_type type_of(DType dtype) {
  return dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

/// A primitive and the descriptions of its operands.
struct TileConv {
  dnnl::convolution_forward primitive;
  memory weights;
  memory::desc x, out, scratch;
};

class CpuConvWeight final : public ConvWeight {
 public:
  CpuConvWeight(const Tensor& weight, const Tensor& bias, DType stream);

  DType stream() const { return stream_; }
  /// What oneDNN computes with: the stream's dtype or, where that cannot be, f32.
  DType run_type() const { return run_type_; }
  int64_t halo() const { return kernel / 2; }
  /// The primitive of such tiles: made when first asked for.
  std::shared_ptr<const TileConv> tile(const TileShape& shape) const;
  void run(const TileConv& tile, const void* x, void* out, void* scratch) const;

 private:
  dnnl::convolution_forward::primitive_desc describe(const TileShape& shape) const;
  memory arranged(const memory& source, const memory::desc& desc) const;

  DType stream_, run_type_;
  Tensor bias_;  // f32
  // The weight in each arrangement that a primitive asked for: nearly always one.
  mutable std::vector<std::pair<Tensor, memory>> arrangements_;
  mutable std::map<TileShape, std::shared_ptr<const TileConv>> tiles_;
};

CpuConvWeight::CpuConvWeight(const Tensor& weight, const Tensor& bias, DType stream)
    : stream_(stream),
      run_type_(stream == DType::bf16 && onednn::has_bf16() ? DType::bf16 : DType::f32),
      bias_(converted(converted(bias, stream), DType::f32)) {
  out_channels = weight.dim(0);
  in_channels = weight.dim(1);
  kernel = weight.dim(2);
  const Tensor values = converted(converted(weight, stream), run_type_);
  const memory source({weight.shape(), type_of(run_type_), memory::format_tag::oihw},
                      onednn::engine(), values.raw());
  // Arranged for a common tile, so that nothing else of the weight need be kept.
  arranged(source, describe({kLeastRows, 64, false, false, false}).weights_desc());
  bytes = arrangements_[0].first.bytes() + bias_.bytes();
}

dnnl::convolution_forward::primitive_desc CpuConvWeight::describe(const TileShape& shape) const {
  using tag = memory::format_tag;
  const memory::data_type type = type_of(run_type_);
  const int64_t above = shape.at_top ? halo() : 0, below = shape.at_bottom ? halo() : 0;
  const int64_t x_rows = shape.rows + 2 * halo() - above - below;
  const memory::desc x({1, in_channels, x_rows, shape.width}, type, tag::nhwc);
  const memory::desc weights({out_channels, in_channels, kernel, kernel}, type, tag::any);
  const memory::desc bias({out_channels}, memory::data_type::f32, tag::x);
  const memory::desc out({1, out_channels, shape.rows, shape.width}, type, tag::nhwc);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (shape.add) {
    dnnl::post_ops add;
    add.append_sum();
    attributes.set_post_ops(add);
  }
  return {{dnnl::prop_kind::forward_inference,
           dnnl::algorithm::convolution_direct,
           x,
           weights,
           bias,
           out,
           {1, 1},
           {above, halo()},
           {below, halo()}},
          attributes,
          onednn::engine()};
}

memory CpuConvWeight::arranged(const memory& source, const memory::desc& desc) const {
  for (const auto& [storage, arrangement] : arrangements_)
    if (arrangement.get_desc() == desc) return arrangement;
  const Tensor storage = Tensor::on_host(DType::u8, {static_cast<int64_t>(desc.get_size())});
  memory arrangement(desc, onednn::engine(), storage.raw());
  memory from = source;
  dnnl::reorder(from, arrangement).execute(onednn::stream(), from, arrangement);
  arrangements_.emplace_back(storage, arrangement);
  return arrangement;
}

std::shared_ptr<const TileConv> CpuConvWeight::tile(const TileShape& shape) const {
  if (const auto found = tiles_.find(shape); found != tiles_.end()) return found->second;
  if (tiles_.size() >= kKeptTiles) tiles_.clear();
  const auto desc = describe(shape);
  return tiles_[shape] = std::make_shared<TileConv>(
             TileConv{dnnl::convolution_forward(desc),
                      arranged(arrangements_[0].second, desc.weights_desc()), desc.src_desc(),
                      desc.dst_desc(), desc.scratchpad_desc()});
}

void CpuConvWeight::run(const TileConv& tile, const void* x, void* out, void* scratch) const {
  const dnnl::engine& engine = onednn::engine();
  const memory::desc bias({out_channels}, memory::data_type::f32, memory::format_tag::x);
  tile.primitive.execute(onednn::stream(),
                         {{DNNL_ARG_SRC, memory(tile.x, engine, const_cast<void*>(x))},
                          {DNNL_ARG_WEIGHTS, tile.weights},
                          {DNNL_ARG_BIAS, memory(bias, engine, bias_.raw())},
                          {DNNL_ARG_DST, memory(tile.out, engine, out)},
                          {DNNL_ARG_SCRATCHPAD, memory(tile.scratch, engine, scratch)}});
}

/// One conv2d: its tiles, and what each does.
class Convolution {
 public:
  Convolution(CpuKernels& kernels, const CpuConvWeight& weight, const Tensor& x, bool upsample,
              const Tensor& residual, const Tensor& out);
  void run();

 private:
  struct Part {
    std::shared_ptr<const TileConv> conv;
    int64_t first, rows;      // of the output
    int64_t x_first, x_rows;  // of x, upsampled if so asked
  };
  void run(int64_t batch, const Part& part, std::byte* scratch) const;
  const void* input(int64_t batch, const Part& part, void* scratch) const;

  CpuKernels& kernels_;
  const CpuConvWeight& weight_;
  const Tensor &x_, &residual_, &out_;
  const int64_t times_, height_, width_;
  const bool gathered_, direct_;  // x is read from scratch; out is written where it lies
  std::vector<Part> parts_;
  int64_t x_bytes_ = 0, out_bytes_ = 0, scratch_bytes_ = 0;  // of a thread
};

int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

Convolution::Convolution(CpuKernels& kernels, const CpuConvWeight& weight, const Tensor& x,
                         bool upsample, const Tensor& residual, const Tensor& out)
    : kernels_(kernels),
      weight_(weight),
      x_(x),
      residual_(residual),
      out_(out),
      times_(upsample ? 2 : 1),
      height_(out.dim(1)),
      width_(out.dim(2)),
      gathered_(upsample || x.dtype() != weight.run_type()),
      direct_(out.dtype() == weight.run_type()) {
  const int64_t row_elements = width_ * std::max(weight.in_channels, weight.out_channels);
  const int64_t tile_rows = std::clamp(kTileElements / row_elements, kLeastRows, kMostRows);
  const onednn::SingleThread single;
  for (int64_t first = 0; first < height_; first += tile_rows) {
    const int64_t rows = std::min(tile_rows, height_ - first);
    const bool at_top = first == 0, at_bottom = first + rows == height_;
    const std::shared_ptr<const TileConv> conv =
        weight.tile({rows, width_, at_top, at_bottom, /*add=*/!residual.empty()});
    const int64_t x_first = at_top ? 0 : first - weight.halo();
    const int64_t x_end = at_bottom ? height_ : first + rows + weight.halo();
    parts_.push_back({conv, first, rows, x_first, x_end - x_first});
    if (gathered_) x_bytes_ = std::max(x_bytes_, aligned(conv->x.get_size()));
    if (!direct_) out_bytes_ = std::max(out_bytes_, aligned(conv->out.get_size()));
    scratch_bytes_ = std::max(scratch_bytes_, aligned(conv->scratch.get_size()));
  }
}

void Convolution::run() {
  const Arena::Scope scope(kernels_.arena());
  const auto parts = static_cast<int64_t>(parts_.size());
  const int64_t bytes = x_bytes_ + out_bytes_ + scratch_bytes_;
  const Tensor scratch = kernels_.arena().take(DType::u8, {kernels_.pool().size() * bytes});
  kernels_.pool().parallel_for(out_.dim(0) * parts, [&](int64_t piece, int worker) {
    const onednn::SingleThread single;
    run(piece / parts, parts_[piece % parts],
        static_cast<std::byte*>(scratch.raw()) + worker * bytes);
  });
}

const void* Convolution::input(int64_t batch, const Part& part, void* scratch) const {
  const int64_t channels = x_.dim(3), row_elements = x_.dim(2) * channels;
  const auto row_of = [&](int64_t row) {
    return static_cast<const std::byte*>(x_.raw()) +
           (batch * x_.dim(1) + row) * row_elements * dtype_bytes(x_.dtype());
  };
  if (!gathered_) return row_of(part.x_first);
  const int64_t pixel_bytes = channels * dtype_bytes(weight_.run_type());
  const int64_t row_bytes = width_ * pixel_bytes;
  for (int64_t i = 0; i < part.x_rows; ++i) {
    auto* to = static_cast<std::byte*>(scratch) + i * row_bytes;
    const int64_t row = part.x_first + i;
    if (i > 0 && row % times_ != 0) {  // the second of an upsampled row's two
      std::memcpy(to, to - row_bytes, static_cast<size_t>(row_bytes));
      continue;
    }
    const std::byte* from = row_of(row / times_);
    if (x_.dtype() != weight_.run_type()) {
      // Into the row's last part: doubling its pixels from the first on never overtakes them.
      auto* widened = reinterpret_cast<float*>(to + row_bytes) - row_elements;
      cpu::widen(from, x_.dtype(), row_elements, widened);
      from = reinterpret_cast<const std::byte*>(widened);
    }
    for (int64_t col = 0; times_ == 2 && col < x_.dim(2); ++col, from += pixel_bytes)
      for (int copy = 0; copy < 2; ++copy, to += pixel_bytes)
        std::memmove(to, from, static_cast<size_t>(pixel_bytes));
  }
  return scratch;
}

void Convolution::run(int64_t batch, const Part& part, std::byte* scratch) const {
  const int64_t first = (batch * height_ + part.first) * width_ * weight_.out_channels;
  const int64_t count = part.rows * width_ * weight_.out_channels;
  const int64_t offset = first * dtype_bytes(out_.dtype());
  std::byte* out = static_cast<std::byte*>(out_.raw()) + offset;
  const void* x = input(batch, part, scratch);
  std::byte* sums = direct_ ? out : scratch + x_bytes_;
  if (!residual_.empty()) {
    const std::byte* residual = static_cast<const std::byte*>(residual_.raw()) + offset;
    if (!direct_)
      cpu::widen(residual, residual_.dtype(), count, reinterpret_cast<float*>(sums));
    else if (residual != out)
      std::memcpy(out, residual, static_cast<size_t>(count * dtype_bytes(out_.dtype())));
  }
  weight_.run(*part.conv, x, sums, scratch + x_bytes_ + out_bytes_);
  if (!direct_) cpu::narrow(reinterpret_cast<float*>(sums), count, out_.dtype(), out);
}

/// body(), its oneDNN errors as ours.
template <typename Body>
auto with_errors(const char* what, const Body& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    const bool memory = error.status == dnnl_out_of_memory;
    fail(memory ? ErrorCode::out_of_memory_host : ErrorCode::internal, "oneDNN {}: {}", what,
         error.what());
  }
}

}  // namespace

std::shared_ptr<ConvWeight> CpuKernels::load_conv(const Tensor& weight, const Tensor& bias,
                                                  DType stream) {
  check_load_conv(weight, bias, stream);
  const onednn::SingleThread single;
  return with_errors("convolution weight",
                     [&] { return std::make_shared<CpuConvWeight>(weight, bias, stream); });
}

void CpuKernels::conv2d(const Tensor& x, const ConvWeight& weight, bool upsample,
                        const Tensor& residual, const Tensor& out) {
  check_conv2d(x, weight, upsample, residual, out);
  const auto& loaded = dynamic_cast<const CpuConvWeight&>(weight);
  if (x.dtype() != loaded.stream())
    fail(ErrorCode::internal, "conv2d: expected x of {}, got {}", dtype_name(loaded.stream()),
         dtype_name(x.dtype()));
  if (out.elements() == 0) return;
  with_errors("convolution", [&] { Convolution(*this, loaded, x, upsample, residual, out).run(); });
}

}  // namespace fluxq
