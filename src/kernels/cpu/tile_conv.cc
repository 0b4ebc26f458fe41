#include "kernels/cpu/tile_conv.h"

namespace fluxq::onednn {
namespace {

using dnnl::memory;

// Tile shapes whose primitives are kept: a model at one picture size needs at most 4 of a weight.
constexpr size_t kKeptTiles = 64;

}  // namespace

TileConvs::TileConvs(const Tensor& weight, const Tensor& bias)
    : out_(weight.dim(0)),
      in_(weight.dim(1)),
      kernel_(weight.dim(2)),
      type_(weight.dtype() == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32),
      bias_(bias) {
  const memory source({weight.shape(), type_, memory::format_tag::oihw}, engine(), weight.raw());
  // Arranged for a common tile, so that nothing else of the weight need be kept.
  const int64_t halo = kernel_ - 1;
  arranged(source, describe({4, 64, 0, 0, halo / 2, halo - halo / 2, false}).weights_desc());
  bytes_ = arrangements_[0].first.bytes() + bias_.bytes();
}

dnnl::convolution_forward::primitive_desc TileConvs::describe(const TileShape& shape) const {
  using tag = memory::format_tag;
  const int64_t x_rows = shape.rows + kernel_ - 1 - shape.above - shape.below;
  const int64_t x_width = shape.width + kernel_ - 1 - shape.left - shape.right;
  const memory::desc x({1, in_, x_rows, x_width}, type_, tag::nhwc);
  const memory::desc weights({out_, in_, kernel_, kernel_}, type_, tag::any);
  const memory::desc bias({out_}, memory::data_type::f32, tag::x);
  const memory::desc out({1, out_, shape.rows, shape.width}, type_, tag::nhwc);
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
           {shape.above, shape.left},
           {shape.below, shape.right}},
          attributes,
          engine()};
}

memory TileConvs::arranged(const memory& source, const memory::desc& desc) const {
  for (const auto& [storage, arrangement] : arrangements_)
    if (arrangement.get_desc() == desc) return arrangement;
  const Tensor storage = Tensor::on_host(DType::u8, {static_cast<int64_t>(desc.get_size())});
  memory arrangement(desc, engine(), storage.raw());
  memory from = source;
  require_room_for_code();
  dnnl::reorder(from, arrangement).execute(stream(), from, arrangement);
  arrangements_.emplace_back(storage, arrangement);
  return arrangement;
}

std::shared_ptr<const TileConv> TileConvs::tile(const TileShape& shape) const {
  if (const auto found = tiles_.find(shape); found != tiles_.end()) return found->second;
  if (tiles_.size() >= kKeptTiles) tiles_.clear();
  const auto desc = describe(shape);
  require_room_for_code();
  const TileConv made = {dnnl::convolution_forward(desc),
                         arranged(arrangements_[0].second, desc.weights_desc()), desc.src_desc(),
                         desc.dst_desc(), desc.scratchpad_desc()};
  return tiles_[shape] = std::make_shared<const TileConv>(made);
}

void TileConvs::run(const TileConv& tile, const void* x, void* out, void* scratch) const {
  const memory::desc bias({out_}, memory::data_type::f32, memory::format_tag::x);
  tile.primitive.execute(stream(),
                         {{DNNL_ARG_SRC, memory(tile.x, engine(), const_cast<void*>(x))},
                          {DNNL_ARG_WEIGHTS, tile.weights},
                          {DNNL_ARG_BIAS, memory(bias, engine(), bias_.raw())},
                          {DNNL_ARG_DST, memory(tile.out, engine(), out)},
                          {DNNL_ARG_SCRATCHPAD, memory(tile.scratch, engine(), scratch)}});
}

}  // namespace fluxq::onednn
