/// A processor without e4m3 arithmetic multiplies the codes as bf16 values, which hold them
/// exactly; both scales follow after the product.
#include "quant/formats/absmax.h"
#include "quant/formats/cpu_gemm_scheme.h"
#include "quant/formats/e4m3.h"
#include "quant/fp8dq/layout.h"

namespace fluxq {
namespace {

class Fp8DqCpu final : public CpuGemmScheme {
 public:
  explicit Fp8DqCpu(Kernels& kernels)
      : CpuGemmScheme(kernels, GemmType::bf16, WeightScale::per_channel) {}
  Prepared prepare(const Producer& input) override;

 private:
  Expanded expand(const PackedWeight& weight) const override {
    const float scale = weight.parts[Fp8DqScheme::kScale].data<float>()[0];
    return {e4m3_values(weight.parts[Fp8DqScheme::kQdata]),
            std::vector<float>(static_cast<size_t>(weight.out), scale)};
  }
};

Prepared Fp8DqCpu::prepare(const Producer& input) {
  const Rows& x = input.x;
  Arena& arena = kernels_.arena();
  Prepared prepared;
  prepared.codes = arena.take(DType::bf16, {x.batch, x.rows, x.cols});
  prepared.scale = arena.take(DType::f32, {x.batch});
  Arena::Scope scope(arena);
  // A sample's scale must be known before its first code: the first pass keeps the rows' values,
  // which bf16 holds exactly, where the codes are going to be.
  const Tensor largest = arena.take(DType::f32, {x.batch, x.rows});
  const cpu::ThreadScratch buffer(kernels_, x.cols * 4);
  const auto for_each_row = [&](const auto& body) {
    cpu::for_each_row(
        kernels_.pool(), x.batch, x.rows, x.cols, [&](int64_t batch, int64_t row, int worker) {
          body(batch, row, prepared.codes.row<bf16>(batch, row), buffer.of<float>(worker));
        });
  };
  const cpu::RowProducer producer(kernels_, input);
  for_each_row([&](int64_t batch, int64_t row, bf16* codes, float* values) {
    producer.row(batch, row, values);
    largest.data<float>()[batch * x.rows + row] = absmax(values, x.cols);
    cpu::narrow(values, x.cols, DType::bf16, codes);
  });
  float* scale = prepared.scale.data<float>();
  for (int64_t batch = 0; batch < x.batch; ++batch)
    scale[batch] = e4m3_scale(absmax(largest.data<float>() + batch * x.rows, x.rows));
  for_each_row([&](int64_t batch, int64_t, bf16* codes, float* values) {
    cpu::widen(codes, DType::bf16, x.cols, values);
    e4m3_encode(values, x.cols, scale[batch], codes);
  });
  return prepared;
}

}  // namespace

std::unique_ptr<SchemeKernels> Fp8DqScheme::on(Kernels& kernels) const {
  return on_device(*this, kernels, make_kernels<Fp8DqCpu>, FLUXQ_IF_CUDA(fp8dq_on_cuda));
}

}  // namespace fluxq
