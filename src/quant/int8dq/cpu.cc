/// s8 x s8 -> s32 with the processor's dot products; both scales follow after the sum.
#include "quant/formats/cpu_gemm_scheme.h"
#include "quant/formats/s8.h"
#include "quant/int8dq/layout.h"

namespace fluxq {
namespace {

class Int8DqCpu final : public CpuGemmScheme {
 public:
  explicit Int8DqCpu(Kernels& kernels) : CpuGemmScheme(kernels, GemmType::s8) {}
  Prepared prepare(const Producer& input) override {
    return prepare_per_token(kernels_, input, s8_quantize);
  }

 private:
  Expanded expand(const PackedWeight& weight) const override {
    const auto* scale = weight.parts[Int8DqScheme::kScale].data<float>();
    return {weight.parts[Int8DqScheme::kQdata], {scale, scale + weight.out}};
  }
};

}  // namespace

std::unique_ptr<SchemeKernels> Int8DqScheme::on(Kernels& kernels) const {
  if (!runs_on(kernels.device())) fail_no_kernels(*this, kernels.device());
  return std::make_unique<Int8DqCpu>(kernels);
}

}  // namespace fluxq
