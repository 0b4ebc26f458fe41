/// Scheme `sparse24-int8dq`: see README.md beside this file.
#pragma once

#include "quant/scheme.h"

namespace fluxq {

class Sparse24Int8DqScheme final : public Scheme {
 public:
  /// Parts, in the order of layout().
  enum Part : size_t { kQdata, kMetadata, kScale };

  const SchemeInfo& info() const override;
  std::optional<std::string> refuses(int64_t out, int64_t in) const override;
  std::vector<PartSpec> layout(int64_t out, int64_t in) const override;
  PackedWeight pack(const Tensor& weight, std::string_view name) const override;
  std::vector<float> unpack(const PackedWeight& weight) const override;
  /// The codes [out, in] with their zeros.
  static Tensor codes(const PackedWeight& weight);
  void check(const PackedWeight& weight, std::string_view name) const override;
  std::vector<float> pack_bound(const Tensor& weight) const override;
  std::vector<float> input_bound(const Tensor& x) const override;
  std::unique_ptr<SchemeKernels> on(Kernels& kernels) const override;
};

/// On the GPU (cuda.cc).
std::unique_ptr<SchemeKernels> sparse24_int8dq_on_cuda(Kernels& kernels);

}  // namespace fluxq
