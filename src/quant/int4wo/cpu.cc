/// The weight is expanded to bf16 when it is loaded, to the values that tinygemm multiplies with:
/// on a CPU the scheme saves file size, not memory or time.
#include "quant/formats/cpu_gemm_scheme.h"
#include "quant/int4wo/layout.h"

namespace fluxq {
namespace {

class Int4WoCpu final : public CpuGemmScheme {
 public:
  explicit Int4WoCpu(Kernels& kernels)
      : CpuGemmScheme(kernels, GemmType::bf16, WeightScale::none) {}
  Prepared prepare(const Producer& input) override {
    return prepare_as_is(kernels_, input, DType::bf16);
  }

 private:
  Expanded expand(const PackedWeight& weight) const override {
    return {Int4WoScheme::values(weight), {}};
  }
};

}  // namespace

std::unique_ptr<SchemeKernels> Int4WoScheme::on(Kernels& kernels) const {
  return on_device(*this, kernels, make_kernels<Int4WoCpu>, FLUXQ_IF_CUDA(int4wo_on_cuda));
}

}  // namespace fluxq
