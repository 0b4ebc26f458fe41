/// Matrix products in panels: a weight's output columns are split in panels of 128, each arranged
/// by oneDNN; rows are split in tiles of one of three heights. Panel x tile is a piece of work: one
/// primitive of a fixed size writes its sums to the thread's scratch, and RowFinisher ends them.
///
/// Why these heights: on every processor a row's sums come out the same from all three, wherever it
/// stands in its tile (gemm_test.cc holds them to it); of other heights that is not true (AVX2: 2,
/// 3, 32). A tile that is not full is padded. `a` goes to a primitive in rows of exactly `in`
/// elements, else by a copy: the sums depend on the row stride otherwise.
#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/row_values.h"
#include "kernels/cpu/scratch.h"
#include "kernels/operands.h"

namespace fluxq {
namespace {

using onednn::Matmul;

constexpr int64_t kPanel = 128;
constexpr int64_t kCached = int64_t{8} << 20;  // bytes of a weight that stay in a shared cache
// s8 without int8 dot products: f32 sums of this many products of magnitude <= 2^14 are exact.
constexpr int64_t kExactInF32 = 1024;

GemmType runs_as(GemmType type) {
  const bool native = type == GemmType::f32 || (type == GemmType::bf16 && onednn::has_bf16()) ||
                      (type == GemmType::s8 && onednn::has_vnni());
  return native ? type : GemmType::f32;
}

DType stored_as(GemmType type) {
  return type == GemmType::f32 ? DType::f32 : type == GemmType::bf16 ? DType::bf16 : DType::i8;
}

void widen_any(const void* values, DType dtype, int64_t count, float* out) {
  if (dtype != DType::i8) return cpu::widen(values, dtype, count, out);
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<const int8_t*>(values)[i];
}

int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

struct Panels final : GemmWeight {
  Panels(GemmType stored_type, int64_t out_count, int64_t in_count)
      : run_type(runs_as(stored_type)) {
    type = stored_type;
    out = out_count;
    in = in_count;
    const bool in_chunks = type == GemmType::s8 && run_type == GemmType::f32;
    chunk = in_chunks ? std::min(in, kExactInF32) : in;
  }
  GemmType run_type;
  int64_t chunk = 0;  // columns of `in` to a product: all, but for s8 in f32
  Tensor storage;
  std::vector<dnnl::memory> parts;  // [panel][chunk]

  int64_t panels() const { return (out + kPanel - 1) / kPanel; }
  int64_t panel_cols(int64_t panel) const { return std::min(kPanel, out - panel * kPanel); }
  int64_t chunks() const { return (in + chunk - 1) / chunk; }
  int64_t chunk_in(int64_t c) const { return std::min(chunk, in - c * chunk); }
  const Matmul& product(int64_t panel, int64_t c) const {
    return Matmul::of(run_type, cpu::kTileHeights[0], panel_cols(panel), chunk_in(c));
  }
  int64_t part_bytes(int64_t panel, int64_t c) const {
    return aligned(product(panel, c).weight_bytes());
  }
};

void arrange_part(const Panels& panels, const Rows& weight, int64_t panel, int64_t c) {
  const Matmul& product = panels.product(panel, c);
  const dnnl::memory& part = panels.parts[panel * panels.chunks() + c];
  const Rows rows = weight.middle(panel * kPanel, panels.panel_cols(panel))
                        .columns(c * panels.chunk, panels.chunk_in(c));
  if (panels.run_type == panels.type) {
    if (panels.type != GemmType::s8 || rows.row_stride == rows.cols)
      return product.arrange(rows.data, 1, rows.row_stride, part);
    // oneDNN arranges s8 (adding what its kernels need) from dense rows only.
    std::vector<int8_t> dense(rows.rows * rows.cols);
    for (int64_t r = 0; r < rows.rows; ++r)
      std::copy_n(rows.row<int8_t>(0, r), rows.cols, &dense[r * rows.cols]);
    return product.arrange(dense.data(), 1, rows.cols, part);
  }
  std::vector<float> floats(rows.rows * rows.cols);
  for (int64_t r = 0; r < rows.rows; ++r)
    widen_any(rows.at(0, r), rows.dtype, rows.cols, &floats[r * rows.cols]);
  product.arrange(floats.data(), 1, rows.cols, part);
}

bool is_last(int64_t index, int64_t count) { return index == count - 1; }

/// Where a thread keeps its operands.
struct Scratch {
  std::byte* sums;     // [tallest tile, kPanel] f32 or s32
  std::byte* a;        // [tallest tile, in], when rows must be copied
  std::byte* partial;  // as sums, for s8 in f32
};

class Product {
 public:
  Product(const Rows& a, const Panels& weight, const cpu::RowFinisher& finisher)
      : a_(a), weight_(weight), finisher_(finisher), tiles_(cpu::split_rows(a.batch * a.rows)) {
    for (const int64_t panel : {int64_t{0}, weight.panels() - 1})
      for (const int64_t c : {int64_t{0}, weight.chunks() - 1})
        products_[is_last(panel, weight.panels())][is_last(c, weight.chunks())] =
            onednn::Matmuls(weight.run_type, weight.panel_cols(panel), weight.chunk_in(c), tiles_);
  }
  int64_t pieces() const { return weight_.panels() * static_cast<int64_t>(tiles_.size()); }

  // A thread's neighbouring pieces share their rows, which it has from the operation before and
  // keeps for the next one; those of a weight beyond the caches share a panel of it.
  void run(int64_t piece, const Scratch& scratch) const {
    const auto tiles = static_cast<int64_t>(tiles_.size());
    const bool by_rows = weight_.bytes <= kCached;
    const int64_t panel = by_rows ? piece % weight_.panels() : piece / tiles;
    const cpu::Tile& tile = tiles_[by_rows ? piece / weight_.panels() : piece % tiles];
    const int64_t cols = weight_.panel_cols(panel);
    if (weight_.run_type == weight_.type && weight_.type == GemmType::s8) {
      multiply(tile, panel, 0, scratch, scratch.sums);
      finisher_.finish(reinterpret_cast<const int32_t*>(scratch.sums), cols, tile.first, tile.count,
                       panel * kPanel, cols);
    } else if (weight_.type == GemmType::s8) {
      auto* sums = reinterpret_cast<int32_t*>(scratch.sums);
      const auto* partial = reinterpret_cast<const float*>(scratch.partial);
      for (int64_t c = 0; c < weight_.chunks(); ++c) {
        multiply(tile, panel, c, scratch, scratch.partial);
        for (int64_t i = 0; i < tile.count * cols; ++i)
          sums[i] = (c == 0 ? 0 : sums[i]) + static_cast<int32_t>(partial[i]);
      }
      finisher_.finish(sums, cols, tile.first, tile.count, panel * kPanel, cols);
    } else {
      multiply(tile, panel, 0, scratch, scratch.sums);
      finisher_.finish(reinterpret_cast<const float*>(scratch.sums), cols, tile.first, tile.count,
                       panel * kPanel, cols);
    }
  }

 private:
  void multiply(const cpu::Tile& tile, int64_t panel, int64_t c, const Scratch& scratch,
                std::byte* sums) const {
    products_[is_last(panel, weight_.panels())][is_last(c, weight_.chunks())].of(tile).run(
        rows_of(tile, c, scratch), weight_.parts[panel * weight_.chunks() + c], sums);
  }

  const void* rows_of(const cpu::Tile& tile, int64_t c, const Scratch& scratch) const {
    const int64_t begin = c * weight_.chunk, cols = weight_.chunk_in(c);
    const bool as_it_is = weight_.run_type == weight_.type && tile.count == tile.height() &&
                          a_.row_stride == cols &&
                          (a_.batch_stride == a_.rows * cols ||
                           tile.first / a_.rows == (tile.first + tile.count - 1) / a_.rows);
    if (as_it_is) return a_.at(tile.first / a_.rows, tile.first % a_.rows);
    const int64_t bytes = cols * onednn::element_bytes(weight_.run_type);
    for (int64_t r = 0; r < tile.count; ++r) {
      const int64_t flat = tile.first + r;
      const std::byte* from = static_cast<const std::byte*>(a_.at(flat / a_.rows, flat % a_.rows)) +
                              begin * dtype_bytes(a_.dtype);
      std::byte* to = scratch.a + r * bytes;
      if (weight_.run_type == weight_.type)
        std::memcpy(to, from, static_cast<size_t>(bytes));
      else
        widen_any(from, a_.dtype, cols, reinterpret_cast<float*>(to));
    }
    std::memset(scratch.a + tile.count * bytes, 0,
                static_cast<size_t>((tile.height() - tile.count) * bytes));
    return scratch.a;
  }

  const Rows& a_;
  const Panels& weight_;
  const cpu::RowFinisher& finisher_;
  const std::vector<cpu::Tile> tiles_;
  // By whether the panel and the chunk are the last: all others are alike.
  onednn::Matmuls products_[2][2];
};

}  // namespace

int64_t arranged_bytes(GemmType type, int64_t out, int64_t in) {
  const Panels panels(type, out, in);
  const int64_t last_panel = panels.panels() - 1, last_chunk = panels.chunks() - 1;
  // All but the last are alike.
  const auto of_chunk = [&](int64_t c) {
    return last_panel * panels.part_bytes(0, c) + panels.part_bytes(last_panel, c);
  };
  return last_chunk * of_chunk(0) + of_chunk(last_chunk);
}

std::shared_ptr<GemmWeight> arrange_weight(CpuKernels& kernels, GemmType type, const Rows& weight) {
  if (weight.batch != 1 || weight.dtype != stored_as(type))
    fail(ErrorCode::internal, "a weight to arrange: expected one matrix of {}, got {} of {}",
         dtype_name(stored_as(type)), weight.batch, dtype_name(weight.dtype));
  auto panels = std::make_shared<Panels>(type, weight.rows, weight.cols);
  std::vector<int64_t> offsets;
  for (int64_t panel = 0; panel < panels->panels(); ++panel)
    for (int64_t c = 0; c < panels->chunks(); ++c) {
      offsets.push_back(panels->bytes);
      panels->bytes += panels->part_bytes(panel, c);
    }
  panels->storage = kernels.allocate(DType::u8, {panels->bytes});
  for (int64_t panel = 0; panel < panels->panels(); ++panel)
    for (int64_t c = 0; c < panels->chunks(); ++c)
      panels->parts.push_back(panels->product(panel, c).weight_at(
          static_cast<std::byte*>(panels->storage.raw()) + offsets[panels->parts.size()]));
  kernels.pool().parallel_for(static_cast<int64_t>(offsets.size()), [&](int64_t part, int) {
    arrange_part(*panels, weight, part / panels->chunks(), part % panels->chunks());
  });
  return panels;
}

void gemm(CpuKernels& kernels, const Rows& a, const GemmWeight& weight, const float* row_scale,
          const float* col_scale, const Epilogue& epilogue, const Rows& out) {
  const auto& panels = dynamic_cast<const Panels&>(weight);
  if (a.cols != weight.in || out.cols != weight.out || a.batch != out.batch || a.rows != out.rows ||
      a.dtype != stored_as(weight.type))
    fail(ErrorCode::internal,
         "matrix product with a weight [{}, {}]: got {} [{}, {}, {}] to [{}, {}, {}]", weight.out,
         weight.in, dtype_name(a.dtype), a.batch, a.rows, a.cols, out.batch, out.rows, out.cols);
  check_apply(epilogue, out, out);
  Arena::Scope scope(kernels.arena());
  const cpu::RowFinisher finisher(kernels, epilogue, row_scale, col_scale, out);
  const Product product(a, panels, finisher);

  const int64_t sums = cpu::kTileHeights[0] * kPanel * 4;
  const int64_t copied =
      cpu::kTileHeights[0] * panels.chunk * onednn::element_bytes(panels.run_type);
  const cpu::ThreadScratch scratch(kernels, 2 * sums + copied);
  kernels.pool().parallel_for(product.pieces(), [&](int64_t piece, int worker) {
    auto* mine = scratch.of<std::byte>(worker);
    product.run(piece, {mine, mine + 2 * sums, mine + sums});
  });
}

std::string gemm_kernel_name(GemmType type) {
  const GemmType runs = runs_as(type);
  const std::string name =
      fmt::format("oneDNN {} ({})",
                  type == GemmType::f32    ? "f32"
                  : type == GemmType::bf16 ? "bf16"
                                           : "s8",
                  Matmul::of(runs, cpu::kTileHeights[0], kPanel, kPanel).implementation());
  return runs == type ? name : name + ", widened to f32";
}

}  // namespace fluxq
