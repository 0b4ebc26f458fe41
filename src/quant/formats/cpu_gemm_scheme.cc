#include "quant/formats/cpu_gemm_scheme.h"

namespace fluxq {
namespace {

struct ArrangedWeight final : DeviceWeight {
  std::shared_ptr<GemmWeight> gemm;
  std::vector<float> scale;  // [out] or empty
};

CpuKernels& cpu_of(Kernels& kernels) {
  auto* cpu = dynamic_cast<CpuKernels*>(&kernels);
  if (!cpu) fail(ErrorCode::internal, "a CPU scheme on kernels that are not the CPU's");
  return *cpu;
}

}  // namespace

CpuGemmScheme::CpuGemmScheme(Kernels& kernels, GemmType type, WeightScale scale)
    : kernels_(cpu_of(kernels)), type_(type), scale_(scale) {}

int64_t CpuGemmScheme::loaded_bytes(int64_t out, std::span<const int64_t> columns,
                                    int64_t /*packed_bytes*/) const {
  const int64_t scale_bytes =
      scale_ == WeightScale::none ? 0 : out * static_cast<int64_t>(sizeof(float));
  int64_t bytes = 0;
  for (const int64_t in : columns) bytes += arranged_bytes(type_, out, in) + scale_bytes;
  return bytes;
}

std::shared_ptr<DeviceWeight> CpuGemmScheme::load(const PackedWeight& weight, int64_t in_begin,
                                                  int64_t in_count) {
  const Expanded expanded = expand(weight);
  auto loaded = std::make_shared<ArrangedWeight>();
  loaded->gemm = arrange_weight(kernels_, type_, Rows(expanded.values).columns(in_begin, in_count));
  loaded->scale = expanded.scale;
  loaded->out = weight.out;
  loaded->in = in_count;
  loaded->bytes = loaded->gemm->bytes + static_cast<int64_t>(loaded->scale.size() * sizeof(float));
  return loaded;
}

void CpuGemmScheme::matmul(const Prepared& input, const DeviceWeight& weight,
                           const Epilogue& epilogue, const Rows& out) {
  const auto& arranged = static_cast<const ArrangedWeight&>(weight);
  const Rows& codes = input.codes;
  Arena::Scope scope(kernels_.arena());
  Tensor scale = input.scale;
  if (!scale.empty() && scale.elements() != codes.batch * codes.rows) {  // one per sample
    scale = kernels_.arena().take(DType::f32, {codes.batch * codes.rows});
    for (int64_t i = 0; i < scale.elements(); ++i)
      scale.data<float>()[i] = input.scale.data<float>()[i / codes.rows];
  }
  gemm(kernels_, codes, *arranged.gemm, scale.empty() ? nullptr : scale.data<float>(),
       arranged.scale.empty() ? nullptr : arranged.scale.data(), epilogue, out);
}

std::vector<float> CpuGemmScheme::dequantize(const Prepared& input) { return values_of(input); }

}  // namespace fluxq
