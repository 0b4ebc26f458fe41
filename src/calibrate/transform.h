/// The seam for methods that change a weight before a scheme packs it, given what the layer reads:
/// smoothing (part of an outlying input moves into the weight) and pruning with update (what is
/// dropped is made up for by what stays).
///
/// No method is built in yet. What is fixed is how one would fit in: a transform knows no scheme,
/// and a scheme knows no transform. A pruning transform leaves zeros, of which sparse24-int8dq's
/// own packing then keeps the pattern; a smoothing transform gives an input scale, which the
/// layer's producer applies (Producer::input_scale) and files keep as torchao's act_pre_scale.
#pragma once

#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace fluxq {

/// What is known of a layer's inputs x, gathered over the tokens of real generations.
struct InputStatistics {
  int64_t rows = 0;  ///< tokens seen
  Tensor absmax;     ///< f32 [in]: the largest |x[i]|
  Tensor products;   ///< f32 [in, in]: the mean of x[i] x[j]; empty when nobody asked for it
};

/// What a transform makes of a layer: x W^T is meant to stay (x * input_scale) weight^T.
struct TransformedWeight {
  Tensor weight;       ///< [out, in], f32
  Tensor input_scale;  ///< f32 [in], or empty for ones
};

class WeightTransform {
 public:
  virtual ~WeightTransform() = default;
  virtual std::string name() const = 0;
  /// Whether `inputs.products` is needed: it takes in^2 floats per layer.
  virtual bool needs_products() const = 0;
  /// weight [out, in] (f32, bf16 or f16, on the host) of the layer `name`. Error(numeric) if the
  /// statistics do not allow it (a singular matrix), Error(internal) if their sizes do not fit.
  virtual TransformedWeight apply(const Tensor& weight, const InputStatistics& inputs,
                                  std::string_view name) const = 0;
};

}  // namespace fluxq
