#include "quant/formats/cuda_gemm_scheme.h"

#include "kernels/cuda/check.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/formats/cuda_scale_vectors.h"
#include "quant/formats/s8_weight.h"
#include "quant/formats/weight.h"

namespace fluxq {

std::shared_ptr<DeviceWeight> CudaGemmScheme::load(const PackedWeight& weight, int64_t in_begin,
                                                   int64_t in_count) {
  auto loaded = std::make_shared<CodesWeight>();
  loaded->out = weight.out;
  loaded->in = in_count;
  loaded->codes = columns_on_device(kernels_, weight.parts[0], in_begin, in_count, loaded->memory);
  loaded->bytes = weight.out * in_count * dtype_bytes(loaded->codes.dtype);
  if (weight.parts.size() > 1) {
    loaded->scale = on_device(kernels_, weight.parts[1]);
    loaded->bytes += loaded->scale.bytes();
  }
  return loaded;
}

std::shared_ptr<CodesWeight> CudaGemmScheme::join_scales(
    std::span<const std::shared_ptr<DeviceWeight>> weights) {
  const auto& first = static_cast<const CodesWeight&>(*weights.front());
  auto joined = std::make_shared<CodesWeight>();
  joined->in = first.in;
  for (const auto& weight : weights) {
    joined->out += weight->out;
    if (static_cast<const CodesWeight&>(*weight).heads != 0)
      fail(ErrorCode::internal, "joining weights: expected rows in order, got those of heads");
  }
  joined->memory = kernels_.allocate(first.codes.dtype, {joined->out, joined->in});
  joined->codes = joined->memory;
  joined->bytes = joined->memory.bytes();
  if (!first.scale.empty()) {
    joined->scale = kernels_.allocate(DType::f32, {joined->out});
    joined->bytes += joined->scale.bytes();
  }
  int64_t begin = 0;
  for (const auto& weight : weights) {
    const auto& part = static_cast<const CodesWeight&>(*weight);
    if (!part.scale.empty()) {
      cuda::spread_scales(kernels_, part.scale, 1, part.out,
                          joined->scale.slice(begin, begin + part.out));
    }
    begin += part.out;
  }
  return joined;
}

std::shared_ptr<DeviceWeight> CudaGemmScheme::join(
    std::span<const std::shared_ptr<DeviceWeight>> weights) {
  std::shared_ptr<CodesWeight> joined = join_scales(weights);
  int64_t begin = 0;
  for (const auto& weight : weights) {
    const auto& part = static_cast<const CodesWeight&>(*weight);
    copy_rows(kernels_, part.codes, joined->codes.middle(begin, part.out));
    begin += part.out;
  }
  return joined;
}

std::vector<float> CudaGemmScheme::dequantize(const Prepared& input) {
  const Rows& codes = input.codes;
  const Tensor host = Tensor::on_host(codes.dtype, {codes.batch, codes.rows, codes.cols});
  copy_rows(kernels_, codes, host);
  const Tensor scale = input.scale.empty() ? Tensor() : kernels_.download(input.scale);
  kernels_.synchronize();
  return values_of({host, scale});
}

PackedWeight CudaGemmScheme::new_parts(const Scheme& scheme, const Tensor& weight) {
  return empty_parts(scheme, weight.dim(0), weight.dim(1), [this](DType dtype, Shape shape) {
    return kernels_.allocate(dtype, std::move(shape));
  });
}

PackedWeight CudaGemmScheme::pack_as_is(const Tensor& weight, std::string_view name) {
  cuda::require_finite(kernels_, weight, name);
  return {weight.dim(0), weight.dim(1), {weight}};
}

PackedWeight CudaGemmScheme::pack_s8(const Scheme& scheme, const Tensor& weight,
                                     std::string_view name) {
  cuda::require_finite(kernels_, weight, name);
  PackedWeight packed = new_parts(scheme, weight);
  cuda::quantize_rows_s8(kernels_, {.x = weight}, packed.parts[S8WeightScheme::kQdata],
                         packed.parts[S8WeightScheme::kScale].data<float>());
  const Tensor& zero_point = packed.parts[S8WeightScheme::kZeroPoint];
  cuda::check(cudaMemsetAsync(zero_point.raw(), 0, static_cast<size_t>(zero_point.bytes()),
                              kernels_.stream()),
              "zeroing zero points");
  return packed;
}

Prepared CudaGemmScheme::new_codes(DType dtype, const Rows& x, int64_t scales) {
  Arena& arena = kernels_.arena();
  return {arena.take(dtype, {x.batch, x.rows, x.cols}), arena.take(DType::f32, {scales})};
}

Rows columns_on_device(CudaKernels& kernels, const Tensor& part, int64_t begin, int64_t count,
                       Tensor& memory) {
  const Rows window = Rows(part).columns(begin, count);
  if (part.device() == Device::cuda) {
    memory = part;
    return window;
  }
  memory = kernels.allocate(part.dtype(), {part.dim(0), count});
  copy_rows(kernels, window, memory);
  return memory;
}

Tensor on_device(CudaKernels& kernels, const Tensor& part) {
  return part.device() == Device::cuda ? part : kernels.upload(part);
}

void copy_rows(CudaKernels& kernels, const Rows& from, const Rows& to) {
  const auto bytes = [&from](int64_t elements) {
    return static_cast<size_t>(elements * dtype_bytes(from.dtype));
  };
  for (int64_t b = 0; b < from.batch; ++b) {
    cuda::check(
        cudaMemcpy2DAsync(to.at(b, 0), bytes(to.row_stride), from.at(b, 0), bytes(from.row_stride),
                          bytes(from.cols), static_cast<size_t>(from.rows), cudaMemcpyDefault,
                          kernels.stream()),
        "copying rows");
  }
}

Epilogue item_of(Epilogue epilogue, int64_t index) {
  if (!epilogue.gate.empty()) epilogue.gate = epilogue.gate.item(index);
  if (!epilogue.residual.empty()) epilogue.residual = epilogue.residual.item(index);
  return epilogue;
}

}  // namespace fluxq
