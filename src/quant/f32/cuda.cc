#include "quant/f32/layout.h"
#include "quant/formats/cuda_gemm_scheme.h"

namespace fluxq {
namespace {

class F32Cuda final : public CudaGemmScheme {
 public:
  using CudaGemmScheme::CudaGemmScheme;
  std::string kernel_name() const override { return "cuBLASLt f32"; }
  FusedParts fused() const override { return {true, false, false, true}; }
  FusedParts fused(const Epilogue& wanted) const override {
    return fused_as_is(DType::f32, wanted);
  }
  std::optional<PackedWeight> pack(const Tensor& weight, std::string_view name) override {
    return pack_as_is(weight, name);
  }
  Prepared prepare(const Producer& input) override {
    return prepare_as_is(kernels_, input, DType::f32);
  }
  void matmul(const Prepared& input, const DeviceWeight& weight, const Epilogue& epilogue,
              const Rows& out) override {
    const auto& codes = static_cast<const CodesWeight&>(weight).codes;
    multiply_as_is(kernels_, input.codes, codes, epilogue, out);
  }
};

}  // namespace

std::unique_ptr<SchemeKernels> f32_on_cuda(Kernels& kernels) {
  return std::make_unique<F32Cuda>(kernels);
}

}  // namespace fluxq
