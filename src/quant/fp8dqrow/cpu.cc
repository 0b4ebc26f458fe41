/// A processor without e4m3 arithmetic multiplies the codes as bf16 values, which hold them
/// exactly; both scales follow after the product.
#include "quant/formats/cpu_gemm_scheme.h"
#include "quant/formats/e4m3.h"
#include "quant/fp8dqrow/layout.h"

namespace fluxq {
namespace {

class Fp8DqRowCpu final : public CpuGemmScheme {
 public:
  explicit Fp8DqRowCpu(Kernels& kernels)
      : CpuGemmScheme(kernels, GemmType::bf16, WeightScale::per_channel) {}
  Prepared prepare(const Producer& input) override {
    return prepare_per_token<bf16>(kernels_, input, e4m3_quantize);
  }

 private:
  Expanded expand(const PackedWeight& weight) const override {
    const auto* scale = weight.parts[Fp8DqRowScheme::kScale].data<float>();
    return {e4m3_values(weight.parts[Fp8DqRowScheme::kQdata]), {scale, scale + weight.out}};
  }
};

}  // namespace

std::unique_ptr<SchemeKernels> Fp8DqRowScheme::on(Kernels& kernels) const {
  return on_device(*this, kernels, make_kernels<Fp8DqRowCpu>, FLUXQ_IF_CUDA(fp8dqrow_on_cuda));
}

}  // namespace fluxq
