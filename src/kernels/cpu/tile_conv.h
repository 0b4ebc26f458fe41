/// A convolution's weight and its oneDNN primitives on tiles of a picture. A primitive is of one
/// tile shape, made when first asked for and run by one thread at a time on its own operands.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "kernels/cpu/onednn.h"

namespace fluxq::onednn {

struct TileShape {
  int64_t rows, width;                // of the output
  int64_t above, below, left, right;  // zero padding of the input; of its rows only at the
                                      // picture's edges
  bool add;                           // out = conv + out, else out = conv
  auto operator<=>(const TileShape&) const = default;
};

/// A primitive and its operands: x [rows of output + kernel - 1 - padding, ..., in], out [rows,
/// width, out], channels last.
struct TileConv {
  dnnl::convolution_forward primitive;
  dnnl::memory weights;
  dnnl::memory::desc x, out, scratch;
};

class TileConvs {
 public:
  /// weight [out, in, k, k], f32 or bf16 as x and out will be; bias [out] f32.
  TileConvs(const Tensor& weight, const Tensor& bias);

  int64_t bytes() const { return bytes_; }
  /// The primitive of such tiles.
  std::shared_ptr<const TileConv> tile(const TileShape& shape) const;
  void run(const TileConv& tile, const void* x, void* out, void* scratch) const;

 private:
  dnnl::convolution_forward::primitive_desc describe(const TileShape& shape) const;
  dnnl::memory arranged(const dnnl::memory& source, const dnnl::memory::desc& desc) const;

  int64_t out_, in_, kernel_, bytes_;
  dnnl::memory::data_type type_;
  Tensor bias_;
  // The weight in each arrangement that a primitive asked for: nearly always one.
  mutable std::vector<std::pair<Tensor, dnnl::memory>> arrangements_;
  mutable std::map<TileShape, std::shared_ptr<const TileConv>> tiles_;
};

}  // namespace fluxq::onednn
