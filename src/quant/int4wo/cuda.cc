/// The weight stays in 4 bits; each product expands it to bf16 in scratch memory, to the values
/// that tinygemm multiplies with.
#include "quant/formats/cuda_gemm_scheme.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/formats/s4.h"
#include "quant/int4wo/layout.h"

namespace fluxq {
namespace {

struct S4Weight final : DeviceWeight {
  Tensor qdata;              // i8 [out, in / 2]
  Tensor scale, zero_point;  // bf16 [in / 128, out]
};

class Int4WoCuda final : public CudaGemmScheme {
 public:
  using CudaGemmScheme::CudaGemmScheme;
  std::string kernel_name() const override { return "cuBLASLt bf16 of s4 expanded"; }
  FusedParts fused() const override { return {true, true, false, true}; }
  FusedParts fused(const Epilogue& wanted) const override {
    return fused_as_is(DType::bf16, wanted);
  }
  std::optional<PackedWeight> pack(const Tensor& weight, std::string_view name) override {
    cuda::require_finite(kernels_, weight, name);
    PackedWeight packed = new_parts(Int4WoScheme(), weight);
    cuda::quantize_groups_s4(kernels_, weight, packed.parts[Int4WoScheme::kQdata],
                             packed.parts[Int4WoScheme::kScale],
                             packed.parts[Int4WoScheme::kZeroPoint]);
    return packed;
  }
  std::shared_ptr<DeviceWeight> load(const PackedWeight& weight, int64_t in_begin,
                                     int64_t in_count) override;
  std::shared_ptr<DeviceWeight> join(
      std::span<const std::shared_ptr<DeviceWeight>> weights) override;
  Prepared prepare(const Producer& input) override {
    return prepare_as_is(kernels_, input, DType::bf16);
  }
  void matmul(const Prepared& input, const DeviceWeight& weight, const Epilogue& epilogue,
              const Rows& out) override {
    const auto& packed = static_cast<const S4Weight&>(weight);
    Arena::Scope scope(kernels_.arena());
    const Tensor values = kernels_.arena().take(DType::bf16, {packed.out, packed.in});
    cuda::expand_groups_s4(kernels_, packed.qdata, packed.scale, packed.zero_point, values);
    multiply_as_is(kernels_, input.codes, values, epilogue, out);
  }

 private:
  std::shared_ptr<S4Weight> empty_weight(int64_t out, int64_t in) {
    auto weight = std::make_shared<S4Weight>();
    weight->out = out;
    weight->in = in;
    weight->qdata = kernels_.allocate(DType::i8, {out, in / 2});
    weight->scale = kernels_.allocate(DType::bf16, {in / kS4Group, out});
    weight->zero_point = kernels_.allocate(DType::bf16, {in / kS4Group, out});
    weight->bytes = weight->qdata.bytes() + weight->scale.bytes() + weight->zero_point.bytes();
    return weight;
  }
};

std::shared_ptr<DeviceWeight> Int4WoCuda::load(const PackedWeight& weight, int64_t in_begin,
                                               int64_t in_count) {
  if (in_begin % kS4Group != 0 || in_count % kS4Group != 0)
    fail(ErrorCode::unsupported, "int4wo: columns [{}, {}) do not fall on groups of {}", in_begin,
         in_begin + in_count, kS4Group);
  auto loaded = empty_weight(weight.out, in_count);
  copy_rows(kernels_, Rows(weight.parts[Int4WoScheme::kQdata]).columns(in_begin / 2, in_count / 2),
            loaded->qdata);
  const int64_t begin = in_begin / kS4Group, count = in_count / kS4Group;
  copy_rows(kernels_, Rows(weight.parts[Int4WoScheme::kScale]).middle(begin, count), loaded->scale);
  copy_rows(kernels_, Rows(weight.parts[Int4WoScheme::kZeroPoint]).middle(begin, count),
            loaded->zero_point);
  return loaded;
}

std::shared_ptr<DeviceWeight> Int4WoCuda::join(
    std::span<const std::shared_ptr<DeviceWeight>> weights) {
  int64_t out = 0;
  for (const auto& weight : weights) out += weight->out;
  auto joined = empty_weight(out, weights.front()->in);
  int64_t begin = 0;
  for (const auto& weight : weights) {
    const auto& part = static_cast<const S4Weight&>(*weight);
    copy_rows(kernels_, part.qdata, Rows(joined->qdata).middle(begin, part.out));
    copy_rows(kernels_, part.scale, Rows(joined->scale).columns(begin, part.out));
    copy_rows(kernels_, part.zero_point, Rows(joined->zero_point).columns(begin, part.out));
    begin += part.out;
  }
  return joined;
}

}  // namespace

std::unique_ptr<SchemeKernels> int4wo_on_cuda(Kernels& kernels) {
  return std::make_unique<Int4WoCuda>(kernels);
}

}  // namespace fluxq
