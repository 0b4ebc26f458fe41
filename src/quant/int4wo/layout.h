/// Scheme `int4wo`: see README.md beside this file.
#pragma once

#include "quant/scheme.h"

namespace fluxq {

class Int4WoScheme final : public Scheme {
 public:
  /// Parts, in the order of layout().
  enum Part : size_t { kQdata, kScale, kZeroPoint };

  const SchemeInfo& info() const override;
  std::optional<std::string> refuses(int64_t out, int64_t in) const override;
  std::vector<PartSpec> layout(int64_t out, int64_t in) const override;
  PackedWeight pack(const Tensor& weight, std::string_view name) const override;
  std::vector<float> unpack(const PackedWeight& weight) const override;
  /// unpack() as a bf16 tensor, which holds its values exactly.
  static Tensor values(const PackedWeight& weight);
  std::vector<float> pack_bound(const Tensor& weight) const override;
  StoredForm stored_form(int64_t out, int64_t in) const override;
  std::unique_ptr<SchemeKernels> on(Kernels& kernels) const override;
};

/// On the GPU (cuda.cc).
std::unique_ptr<SchemeKernels> int4wo_on_cuda(Kernels& kernels);

}  // namespace fluxq
