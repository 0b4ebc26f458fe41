#include "quant/f32/layout.h"
#include "quant/formats/cpu_gemm_scheme.h"

namespace fluxq {
namespace {

class F32Cpu final : public CpuGemmScheme {
 public:
  explicit F32Cpu(Kernels& kernels) : CpuGemmScheme(kernels, GemmType::f32, WeightScale::none) {}
  Prepared prepare(const Producer& input) override {
    return prepare_as_is(kernels_, input, DType::f32);
  }

 private:
  Expanded expand(const PackedWeight& weight) const override { return {weight.parts[0], {}}; }
};

}  // namespace

std::unique_ptr<SchemeKernels> F32Scheme::on(Kernels& kernels) const {
  return on_device(*this, kernels, make_kernels<F32Cpu>, FLUXQ_IF_CUDA(f32_on_cuda));
}

}  // namespace fluxq
