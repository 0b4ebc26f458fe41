/// A CPU has no sparse dot products: the codes are expanded with their zeros and run as int8dq's.
#include "quant/formats/cpu_gemm_scheme.h"
#include "quant/formats/s8.h"
#include "quant/sparse24-int8dq/layout.h"

namespace fluxq {
namespace {

class Sparse24Int8DqCpu final : public CpuGemmScheme {
 public:
  explicit Sparse24Int8DqCpu(Kernels& kernels)
      : CpuGemmScheme(kernels, GemmType::s8, WeightScale::per_channel) {}
  Prepared prepare(const Producer& input) override {
    return prepare_per_token(kernels_, input, s8_quantize);
  }

 private:
  Expanded expand(const PackedWeight& weight) const override {
    const auto* scale = weight.parts[Sparse24Int8DqScheme::kScale].data<float>();
    return {Sparse24Int8DqScheme::codes(weight), {scale, scale + weight.out}};
  }
};

}  // namespace

std::unique_ptr<SchemeKernels> Sparse24Int8DqScheme::on(Kernels& kernels) const {
  return on_device(*this, kernels, make_kernels<Sparse24Int8DqCpu>,
                   FLUXQ_IF_CUDA(sparse24_int8dq_on_cuda));
}

}  // namespace fluxq
