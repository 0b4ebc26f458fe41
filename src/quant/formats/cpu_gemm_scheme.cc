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

float code_at(const Rows& codes, int64_t batch, int64_t row, int64_t col) {
  switch (codes.dtype) {
    case DType::f32:
      return codes.row<float>(batch, row)[col];
    case DType::bf16:
      return static_cast<float>(codes.row<bf16>(batch, row)[col]);
    case DType::i8:
      return codes.row<int8_t>(batch, row)[col];
    default:
      fail(ErrorCode::internal, "codes of type {}", dtype_name(codes.dtype));
  }
}

bool is_plain(const Producer& input) {
  return input.kind == Producer::Kind::activate && input.act == Act::none && input.factor.empty() &&
         input.input_scale.empty();
}

}  // namespace

CpuGemmScheme::CpuGemmScheme(Kernels& kernels, GemmType type)
    : kernels_(cpu_of(kernels)), type_(type) {}

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

std::vector<float> CpuGemmScheme::dequantize(const Prepared& input) {
  const Rows& codes = input.codes;
  std::vector<float> values;
  values.reserve(static_cast<size_t>(codes.batch * codes.rows * codes.cols));
  for (int64_t b = 0; b < codes.batch; ++b) {
    for (int64_t r = 0; r < codes.rows; ++r) {
      float scale = 1;
      if (!input.scale.empty()) {
        const bool per_sample = input.scale.elements() != codes.batch * codes.rows;
        scale = input.scale.data<float>()[per_sample ? b : b * codes.rows + r];
      }
      for (int64_t c = 0; c < codes.cols; ++c) values.push_back(code_at(codes, b, r, c) * scale);
    }
  }
  return values;
}

Prepared prepare_as_is(CpuKernels& kernels, const Producer& input, DType stream) {
  if (is_plain(input) && input.x.dtype == stream) return {input.x, {}};
  const Rows& x = input.x;
  const Rows out = kernels.arena().take(stream, {x.batch, x.rows, x.cols});
  kernels.produce(input, out);
  return {out, {}};
}

}  // namespace fluxq
