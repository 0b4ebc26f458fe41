/// s8 x s8 -> s32 with the processor's dot products; both scales follow after the sum.
#include "quant/formats/cpu_gemm_scheme.h"
#include "quant/formats/s8.h"
#include "quant/int8dq/layout.h"

namespace fluxq {
namespace {

class Int8DqCpu final : public CpuGemmScheme {
 public:
  explicit Int8DqCpu(Kernels& kernels)
      : CpuGemmScheme(kernels, GemmType::s8, WeightScale::per_channel) {}
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
  return on_device(*this, kernels, make_kernels<Int8DqCpu>, FLUXQ_IF_CUDA(int8dq_on_cuda));
}

}  // namespace fluxq
