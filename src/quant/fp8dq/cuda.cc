/// cuBLASLt's products of e4m3 with one scale for each operand; row-wise ones with the scales
/// repeated where a gate or weights side by side need it.
#include "quant/formats/cuda_gemm_scheme.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/fp8dq/layout.h"

namespace fluxq {
namespace {

class Fp8DqCuda final : public CudaE4m3Scheme {
 public:
  using CudaE4m3Scheme::CudaE4m3Scheme;
  std::optional<PackedWeight> pack(const Tensor& weight, std::string_view name) override {
    cuda::require_finite(kernels_, weight, name);
    PackedWeight packed = new_parts(Fp8DqScheme(), weight);
    cuda::quantize_samples_e4m3(kernels_, {.x = weight}, packed.parts[Fp8DqScheme::kQdata],
                                packed.parts[Fp8DqScheme::kScale].data<float>());
    return packed;
  }
  Prepared prepare(const Producer& input) override {
    Prepared prepared = new_codes(DType::f8_e4m3, input.x, input.x.batch);
    cuda::quantize_samples_e4m3(kernels_, input, prepared.codes, prepared.scale.data<float>());
    return prepared;
  }
};

}  // namespace

std::unique_ptr<SchemeKernels> fp8dq_on_cuda(Kernels& kernels) {
  return std::make_unique<Fp8DqCuda>(kernels);
}

}  // namespace fluxq
