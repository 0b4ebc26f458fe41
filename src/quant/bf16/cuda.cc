#include "quant/bf16/layout.h"
#include "quant/formats/cuda_gemm_scheme.h"

namespace fluxq {
namespace {

class Bf16Cuda final : public CudaGemmScheme {
 public:
  using CudaGemmScheme::CudaGemmScheme;
  std::string kernel_name() const override { return "cuBLASLt bf16"; }
  FusedParts fused() const override { return {true, true, false, true}; }
  FusedParts fused(const Epilogue& wanted) const override {
    return fused_as_is(DType::bf16, wanted);
  }
  std::optional<PackedWeight> pack(const Tensor& weight, std::string_view name) override {
    return pack_as_is(weight, name);
  }
  Prepared prepare(const Producer& input) override {
    return prepare_as_is(kernels_, input, DType::bf16);
  }
  void matmul(const Prepared& input, const DeviceWeight& weight, const Epilogue& epilogue,
              const Rows& out) override {
    const auto& codes = static_cast<const CodesWeight&>(weight).codes;
    multiply_as_is(kernels_, input.codes, codes, epilogue, out);
  }
};

}  // namespace

std::unique_ptr<SchemeKernels> bf16_on_cuda(Kernels& kernels) {
  return std::make_unique<Bf16Cuda>(kernels);
}

}  // namespace fluxq
