/// The weight stays in 8 bits: few rows are multiplied while it is read, for many it is expanded to
/// bf16 in scratch memory.
#include "kernels/cuda/few_rows_gemm.h"
#include "quant/formats/cuda_gemm_scheme.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/int8wo/layout.h"

namespace fluxq {
namespace {

class Int8WoCuda final : public CudaGemmScheme {
 public:
  using CudaGemmScheme::CudaGemmScheme;
  std::string kernel_name() const override { return "cuBLASLt bf16 of s8 expanded"; }
  FusedParts fused() const override { return {true, true, false, true}; }
  FusedParts fused(const Epilogue& wanted) const override {
    return fused_as_is(DType::bf16, wanted);
  }
  std::optional<PackedWeight> pack(const Tensor& weight, std::string_view name) override {
    return pack_s8(Int8WoScheme(), weight, name);
  }
  Prepared prepare(const Producer& input) override {
    return prepare_as_is(kernels_, input, DType::bf16);
  }
  void matmul(const Prepared& input, const DeviceWeight& weight, const Epilogue& epilogue,
              const Rows& out) override {
    const auto& packed = static_cast<const CodesWeight&>(weight);
    if (cuda::few_rows_gemm_takes(input.codes, packed.codes)) {
      cuda::few_rows_gemm(kernels_, input.codes, packed.codes, {}, {packed.scale.data<float>()},
                          epilogue, out);
      return;
    }
    Arena::Scope scope(kernels_.arena());
    const Tensor values = kernels_.arena().take(DType::bf16, {packed.out, packed.in});
    cuda::expand_rows_s8(kernels_, packed.codes, packed.scale, values);
    multiply_as_is(kernels_, input.codes, values, epilogue, out);
  }
};

}  // namespace

std::unique_ptr<SchemeKernels> int8wo_on_cuda(Kernels& kernels) {
  return std::make_unique<Int8WoCuda>(kernels);
}

}  // namespace fluxq
