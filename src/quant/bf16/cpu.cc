#include "quant/bf16/layout.h"
#include "quant/formats/cpu_gemm_scheme.h"

namespace fluxq {
namespace {

class Bf16Cpu final : public CpuGemmScheme {
 public:
  explicit Bf16Cpu(Kernels& kernels) : CpuGemmScheme(kernels, GemmType::bf16) {}
  Prepared prepare(const Producer& input) override {
    return prepare_as_is(kernels_, input, DType::bf16);
  }

 private:
  Expanded expand(const PackedWeight& weight) const override { return {weight.parts[0], {}}; }
};

}  // namespace

std::unique_ptr<SchemeKernels> Bf16Scheme::on(Kernels& kernels) const {
  if (!runs_on(kernels.device())) fail_no_kernels(*this, kernels.device());
  return std::make_unique<Bf16Cpu>(kernels);
}

}  // namespace fluxq
