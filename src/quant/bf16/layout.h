/// Scheme `bf16`: see README.md beside this file.
#pragma once

#include "quant/scheme.h"

namespace fluxq {

class Bf16Scheme final : public Scheme {
 public:
  const SchemeInfo& info() const override;
  std::vector<PartSpec> layout(int64_t out, int64_t in) const override;
  PackedWeight pack(const Tensor& weight, std::string_view name) const override;
  std::vector<float> unpack(const PackedWeight& weight) const override;
  std::vector<float> pack_bound(const Tensor& weight) const override;
  StoredForm stored_form(int64_t out, int64_t in) const override;
  std::unique_ptr<SchemeKernels> on(Kernels& kernels) const override;
};

/// On the GPU (cuda.cc).
std::unique_ptr<SchemeKernels> bf16_on_cuda(Kernels& kernels);

}  // namespace fluxq
