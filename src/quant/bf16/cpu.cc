#include "quant/bf16/layout.h"
#include "quant/formats/cpu_gemm_scheme.h"

namespace fluxq {
namespace {

class Bf16Cpu final : public CpuGemmScheme {
 public:
  explicit Bf16Cpu(Kernels& kernels) : CpuGemmScheme(kernels, GemmType::bf16, WeightScale::none) {}
  Prepared prepare(const Producer& input) override {
    return prepare_as_is(kernels_, input, DType::bf16);
  }

 private:
  Expanded expand(const PackedWeight& weight) const override { return {weight.parts[0], {}}; }
};

}  // namespace

std::unique_ptr<SchemeKernels> Bf16Scheme::on(Kernels& kernels) const {
  return on_device(*this, kernels, make_kernels<Bf16Cpu>, FLUXQ_IF_CUDA(bf16_on_cuda));
}

}  // namespace fluxq
