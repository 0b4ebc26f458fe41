/// cuBLASLt's row-wise products of e4m3. A gate is multiplied into the scales and the bias.
#include "quant/formats/cuda_gemm_scheme.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/fp8dqrow/layout.h"

namespace fluxq {
namespace {

class Fp8DqRowCuda final : public CudaE4m3Scheme {
 public:
  using CudaE4m3Scheme::CudaE4m3Scheme;
  std::optional<PackedWeight> pack(const Tensor& weight, std::string_view name) override {
    cuda::require_finite(kernels_, weight, name);
    PackedWeight packed = new_parts(Fp8DqRowScheme(), weight);
    cuda::quantize_rows_e4m3(kernels_, {.x = weight}, packed.parts[Fp8DqRowScheme::kQdata],
                             packed.parts[Fp8DqRowScheme::kScale].data<float>());
    return packed;
  }
  Prepared prepare(const Producer& input) override {
    Prepared prepared = new_codes(DType::f8_e4m3, input.x, input.x.batch * input.x.rows);
    cuda::quantize_rows_e4m3(kernels_, input, prepared.codes, prepared.scale.data<float>());
    return prepared;
  }
};

}  // namespace

std::unique_ptr<SchemeKernels> fp8dqrow_on_cuda(Kernels& kernels) {
  return std::make_unique<Fp8DqRowCuda>(kernels);
}

}  // namespace fluxq
