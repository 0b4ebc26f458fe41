/// Weights of 8-bit integers with one scale per output channel, as torchao's Int8Tensor keeps them:
/// what the schemes share that multiply such weights in different ways.
#pragma once

#include "base/json.h"
#include "quant/scheme.h"

namespace fluxq {

class S8WeightScheme : public Scheme {
 public:
  /// Parts, in the order of layout().
  enum Part : size_t { kQdata, kScale, kZeroPoint };

  std::vector<PartSpec> layout(int64_t out, int64_t in) const override;
  PackedWeight pack(const Tensor& weight, std::string_view name) const override;
  /// code * scale
  std::vector<float> unpack(const PackedWeight& weight) const override;
  void check(const PackedWeight& weight, std::string_view name) const override;
  std::vector<float> pack_bound(const Tensor& weight) const override;

 protected:
  /// The settings of an Int8Tensor of rows of `in`, with how its inputs are quantized.
  static Json int8_tensor(int64_t in, const Json& activations);
};

}  // namespace fluxq
