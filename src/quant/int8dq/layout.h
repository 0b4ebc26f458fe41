/// Scheme `int8dq`: see README.md beside this file.
#pragma once

#include "quant/formats/s8_weight.h"

namespace fluxq {

class Int8DqScheme final : public S8WeightScheme {
 public:
  const SchemeInfo& info() const override;
  std::vector<float> input_bound(const Tensor& x) const override;
  StoredForm stored_form(int64_t out, int64_t in) const override;
  std::unique_ptr<SchemeKernels> on(Kernels& kernels) const override;
};

/// On the GPU (cuda.cc).
std::unique_ptr<SchemeKernels> int8dq_on_cuda(Kernels& kernels);

}  // namespace fluxq
