/// Scheme `int8wo`: see README.md beside this file.
#pragma once

#include "quant/formats/s8_weight.h"

namespace fluxq {

class Int8WoScheme final : public S8WeightScheme {
 public:
  const SchemeInfo& info() const override;
  /// code * scale rounded to bf16: what is multiplied.
  std::vector<float> unpack(const PackedWeight& weight) const override;
  /// unpack() as a bf16 tensor, which holds its values exactly.
  Tensor values(const PackedWeight& weight) const;
  std::vector<float> pack_bound(const Tensor& weight) const override;
  StoredForm stored_form(int64_t out, int64_t in) const override;
  std::unique_ptr<SchemeKernels> on(Kernels& kernels) const override;
};

/// On the GPU (cuda.cc).
std::unique_ptr<SchemeKernels> int8wo_on_cuda(Kernels& kernels);

}  // namespace fluxq
