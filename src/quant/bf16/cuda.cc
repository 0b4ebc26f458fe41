#include "quant/bf16/layout.h"
#include "quant/formats/cuda_gemm_scheme.h"

namespace fluxq {
namespace {

class Bf16Cuda final : public CudaQkvScheme {
 public:
  using CudaQkvScheme::CudaQkvScheme;
  std::string kernel_name() const override { return "cuBLASLt bf16 (q, k, v: CUTLASS)"; }
  using CudaQkvScheme::fused;
  FusedParts fused() const override { return {true, true, false, true, true}; }
  std::optional<PackedWeight> pack(const Tensor& weight, std::string_view name) override {
    return pack_as_is(weight, name);
  }
  Prepared prepare(const Producer& input) override {
    return prepare_as_is(kernels_, input, DType::bf16);
  }

 private:
  void multiply(const Prepared& input, const CodesWeight& weight, const Epilogue& epilogue,
                const Rows& out) override {
    multiply_as_is(kernels_, input.codes, weight.codes, epilogue, out);
  }
  FusedParts fused_by_multiply(const Epilogue& wanted) const override {
    return fused_as_is(DType::bf16, wanted);
  }
};

}  // namespace

std::unique_ptr<SchemeKernels> bf16_on_cuda(Kernels& kernels) {
  return std::make_unique<Bf16Cuda>(kernels);
}

}  // namespace fluxq
