/// Sparse tensor cores read the kept codes as they are stored, and their positions in blocks.
/// Shapes that they cannot take are expanded with their zeros and run as int8dq's.
#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_s8.h"
#include "quant/formats/cuda_gemm_scheme.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/sparse24-int8dq/layout.h"

namespace fluxq {
namespace {

using Part = Sparse24Int8DqScheme::Part;

// One of the two is used.
struct Sparse24Weight final : DeviceWeight {
  std::optional<cuda::SparseS8Weight> sparse;
  CodesWeight dense;
  Tensor scale;  // f32 [out]
};

class Sparse24Int8DqCuda final : public CudaGemmScheme {
 public:
  using CudaGemmScheme::CudaGemmScheme;
  std::string kernel_name() const override { return "CUTLASS s8 2:4"; }
  FusedParts fused() const override { return {true, true, true, true}; }
  FusedParts fused(const Epilogue& wanted) const override { return fused_s8(wanted); }
  std::optional<PackedWeight> pack(const Tensor& weight, std::string_view name) override;
  std::shared_ptr<DeviceWeight> load(const PackedWeight& weight, int64_t in_begin,
                                     int64_t in_count) override;
  std::shared_ptr<DeviceWeight> join(
      std::span<const std::shared_ptr<DeviceWeight>> weights) override;
  Prepared prepare(const Producer& input) override {
    Prepared prepared = new_codes(DType::i8, input.x, input.x.batch * input.x.rows);
    cuda::quantize_rows_s8(kernels_, input, prepared.codes, prepared.scale.data<float>());
    return prepared;
  }
  void matmul(const Prepared& input, const DeviceWeight& weight, const Epilogue& epilogue,
              const Rows& out) override;

 private:
  std::shared_ptr<Sparse24Weight> empty_sparse(int64_t out, int64_t in);
  void expand(const PackedWeight& weight, int64_t in_begin, Sparse24Weight& loaded);
};

std::optional<PackedWeight> Sparse24Int8DqCuda::pack(const Tensor& weight, std::string_view name) {
  cuda::require_finite(kernels_, weight, name);
  PackedWeight packed = new_parts(Sparse24Int8DqScheme(), weight);
  Arena::Scope scope(kernels_.arena());
  const Tensor codes = kernels_.arena().take(DType::i8, weight.shape());
  cuda::prune_and_quantize_s8(kernels_, weight, codes, packed.parts[Part::kScale]);
  cuda::compress_sparse24(kernels_, codes, packed.parts[Part::kQdata],
                          packed.parts[Part::kMetadata]);
  return packed;
}

// With room for a weight [out, in]; rows of metadata that pad it are zero.
std::shared_ptr<Sparse24Weight> Sparse24Int8DqCuda::empty_sparse(int64_t out, int64_t in) {
  auto weight = std::make_shared<Sparse24Weight>();
  weight->out = out;
  weight->in = in;
  weight->scale = kernels_.allocate(DType::f32, {out});
  const Tensor metadata = kernels_.allocate(DType::u8, cuda::sparse_s8_metadata_shape(out, in));
  cuda::check(
      cudaMemsetAsync(metadata.raw(), 0, static_cast<size_t>(metadata.bytes()), kernels_.stream()),
      "zeroing metadata");
  weight->sparse = {out, in, kernels_.allocate(DType::i8, {out, in / 2}), metadata,
                    weight->scale.data<float>()};
  weight->bytes = weight->scale.bytes() + weight->sparse->values.bytes() + metadata.bytes();
  return weight;
}

std::shared_ptr<DeviceWeight> Sparse24Int8DqCuda::load(const PackedWeight& weight, int64_t in_begin,
                                                       int64_t in_count) {
  constexpr int64_t kColumnsInByte = 8;
  const bool takes = cuda::sparse_s8_takes(weight.out, in_count) && in_begin % kColumnsInByte == 0;
  auto loaded = takes ? empty_sparse(weight.out, in_count) : std::make_shared<Sparse24Weight>();
  loaded->out = weight.out;
  loaded->in = in_count;
  if (!takes) {
    expand(weight, in_begin, *loaded);
    return loaded;
  }
  copy_rows(kernels_, Rows(weight.parts[Part::kQdata]).columns(in_begin / 2, in_count / 2),
            loaded->sparse->values);
  cuda::arrange_sparse_metadata(kernels_,
                                Rows(weight.parts[Part::kMetadata])
                                    .columns(in_begin / kColumnsInByte, in_count / kColumnsInByte),
                                *loaded->sparse, 0);
  copy_rows(kernels_, weight.parts[Part::kScale].reshaped({1, weight.out}),
            loaded->scale.reshaped({1, weight.out}));
  return loaded;
}

void Sparse24Int8DqCuda::expand(const PackedWeight& weight, int64_t in_begin,
                                Sparse24Weight& loaded) {
  CodesWeight& dense = loaded.dense;
  dense.out = loaded.out;
  dense.in = loaded.in;
  dense.memory = kernels_.allocate(DType::i8, {weight.out, weight.in});
  dense.codes = Rows(dense.memory).columns(in_begin, loaded.in);
  loaded.scale = dense.scale = on_device(kernels_, weight.parts[Part::kScale]);
  loaded.bytes = dense.memory.bytes() + dense.scale.bytes();
  const Tensor qdata = on_device(kernels_, weight.parts[Part::kQdata]);
  const Tensor metadata = on_device(kernels_, weight.parts[Part::kMetadata]);
  cuda::expand_sparse24(kernels_, qdata, metadata, dense.memory);
  kernels_.synchronize();  // before the copies go
}

std::shared_ptr<DeviceWeight> Sparse24Int8DqCuda::join(
    std::span<const std::shared_ptr<DeviceWeight>> weights) {
  int64_t out = 0;
  for (const auto& weight : weights) {
    if (!static_cast<const Sparse24Weight&>(*weight).sparse) return nullptr;
    out += weight->out;
  }
  const int64_t in = weights.front()->in;
  auto joined = empty_sparse(out, in);
  int64_t begin = 0;
  // A weight's rows of metadata stand together in each of its blocks.
  const auto blocks = [](const Tensor& metadata) {
    return Rows(metadata.reshaped({metadata.dim(0), metadata.dim(1) * metadata.dim(2)}));
  };
  for (const auto& weight : weights) {
    const auto& part = static_cast<const Sparse24Weight&>(*weight);
    const int64_t row_bytes = part.sparse->metadata.dim(2);
    copy_rows(kernels_, part.sparse->values, Rows(joined->sparse->values).middle(begin, part.out));
    copy_rows(kernels_, blocks(part.sparse->metadata).columns(0, part.out * row_bytes),
              blocks(joined->sparse->metadata).columns(begin * row_bytes, part.out * row_bytes));
    copy_rows(kernels_, part.scale.reshaped({1, part.out}),
              Rows(joined->scale.reshaped({1, out})).columns(begin, part.out));
    begin += part.out;
  }
  return joined;
}

void Sparse24Int8DqCuda::matmul(const Prepared& input, const DeviceWeight& weight,
                                const Epilogue& epilogue, const Rows& out) {
  const auto& packed = static_cast<const Sparse24Weight&>(weight);
  if (!packed.sparse) {
    multiply_s8(kernels_, input, packed.dense, epilogue, out);
  } else if (!cuda::gemm_s8_sparse(kernels_, input.codes, input.scale.data<float>(), *packed.sparse,
                                   epilogue, out)) {
    fail(
        ErrorCode::internal,
        "sparse24-int8dq: a product to {} outputs whose rows are not aligned to 16 bytes, or whose "
        "epilogue its kernels do not fuse",
        packed.out);
  }
}

}  // namespace

std::unique_ptr<SchemeKernels> sparse24_int8dq_on_cuda(Kernels& kernels) {
  return std::make_unique<Sparse24Int8DqCuda>(kernels);
}

}  // namespace fluxq
