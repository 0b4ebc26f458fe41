#include "quant/formats/cuda_gemm_scheme.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/int8dq/layout.h"

namespace fluxq {
namespace {

class Int8DqCuda final : public CudaQkvScheme {
 public:
  using CudaQkvScheme::CudaQkvScheme;
  std::string kernel_name() const override { return "CUTLASS s8"; }
  std::optional<PackedWeight> pack(const Tensor& weight, std::string_view name) override {
    return pack_s8(Int8DqScheme(), weight, name);
  }
  Prepared prepare(const Producer& input) override {
    Prepared prepared = new_codes(DType::i8, input.x, input.x.batch * input.x.rows);
    cuda::quantize_rows_s8(kernels_, input, prepared.codes, prepared.scale.data<float>());
    return prepared;
  }

 private:
  void multiply(const Prepared& input, const CodesWeight& weight, const Epilogue& epilogue,
                const Rows& out) override {
    multiply_s8(kernels_, input, weight, epilogue, out);
  }
  FusedParts fused_by_multiply(const Epilogue& wanted) const override { return fused_s8(wanted); }
};

}  // namespace

std::unique_ptr<SchemeKernels> int8dq_on_cuda(Kernels& kernels) {
  return std::make_unique<Int8DqCuda>(kernels);
}

}  // namespace fluxq
