#include "kernels/cuda/gemm_s8.h"

#include <algorithm>

#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_s8_kernels.h"

namespace fluxq::cuda {
namespace {

constexpr int64_t kVectorBytes = 16;   // alignment of all rows
constexpr int64_t kMetadataRows = 64;  // stand together, 16 bytes each for 128 columns
constexpr int64_t kMetadataColumns = 128, kMetadataBytes = kMetadataColumns / 8;

using KernelFunction = const char* (*)(const S8Product&);
// Whether the large tiles of the kernel for long sums are done sooner. As measured: the ending of
// such a tile takes as long as 1280 terms, a column of a small one 8/7 of its time. A short last
// round of large tiles is split among all multiprocessors.
bool is_deep(const S8Product& product) {
  constexpr int64_t kEndingTerms = 1280, kSmallCost = 8, kDeepCost = 7;
  const int64_t at_once = product.multiprocessors;
  const auto tiles = [&product](int64_t columns) {
    return (product.m + kS8TileRows - 1) / kS8TileRows * ((product.n + columns - 1) / columns);
  };
  const auto in_full_rounds = [at_once](int64_t count) {
    return (count + at_once - 1) / at_once * at_once;
  };
  const int64_t small = tiles(kS8TileColumns), large = tiles(kS8DeepTileColumns);
  const bool splits = large > at_once && 2 * (large % at_once) < at_once;
  return kDeepCost * kS8DeepTileColumns * (splits ? large : in_full_rounds(large)) *
             (product.k + kEndingTerms) <
         kSmallCost * kS8TileColumns * in_full_rounds(small) * product.k;
}

KernelFunction kernel_for(const S8Product& product, const Epilogue& epilogue) {
  const bool sparse = product.metadata != nullptr;
  if (epilogue.act == Act::gelu_tanh) return sparse ? gemm_s8_sparse_gelu : gemm_s8_gelu;
  if (epilogue.residual.empty()) return sparse ? gemm_s8_sparse_bias : gemm_s8_bias;
  if (sparse) return gemm_s8_sparse_residual;
  return is_deep(product) ? gemm_s8_residual_deep : gemm_s8_residual;
}

bool fuses_all(const Epilogue& epilogue) {
  if (epilogue.gate.empty() && epilogue.residual.empty())
    return epilogue.act == Act::none || gemm_s8_fuses_act(epilogue);
  return gemm_s8_fuses_residual(epilogue);
}

// `product` has the weight; the rest of it is filled in.
bool multiply(CudaKernels& kernels, const Rows& x, const float* x_scale, S8Product product,
              const Epilogue& epilogue, const Rows& out) {
  const Tensor& bias = epilogue.bias;
  const auto vector = [](const void* data) {
    return reinterpret_cast<uintptr_t>(data) % kVectorBytes == 0;
  };
  if (x.cols % kVectorBytes != 0 || out.cols % 8 != 0 || !x.aligned_to(kVectorBytes) ||
      !out.aligned_to(kVectorBytes) || !epilogue.residual.aligned_to(kVectorBytes) ||
      !vector(bias.raw()) || !vector(epilogue.gate.data) || !vector(x_scale) ||
      !vector(product.w_scale) ||
      (epilogue.gate.batch > 1 && epilogue.gate.batch_stride % 8 != 0) || !fuses_all(epilogue))
    return false;
  // One product for all pictures where nothing differs from one to the next.
  if (x.batch > 1 && epilogue.gate.empty() && x.is_one_matrix() && out.is_one_matrix() &&
      epilogue.residual.is_one_matrix()) {
    Epilogue same = epilogue;
    same.residual = epilogue.residual.as_one_matrix();
    return multiply(kernels, x.as_one_matrix(), x_scale, product, same, out.as_one_matrix());
  }
  product.m = static_cast<int>(x.rows);
  product.n = static_cast<int>(out.cols);
  product.k = static_cast<int>(x.cols);
  product.x_stride = x.row_stride;
  product.bias = bias.raw();
  product.residual_stride = epilogue.residual.row_stride;
  product.out_stride = out.row_stride;
  product.arena = &kernels.arena();
  product.multiprocessors = kernels.multiprocessors();
  product.stream = kernels.stream();
  const KernelFunction kernel = kernel_for(product, epilogue);
  Arena::Scope scope(kernels.arena());
  const Tensor aligned_scale = kernels.arena().take(DType::f32, {x.rows});
  for (int64_t picture = 0; picture < x.batch; ++picture) {
    product.x = x.row<const int8_t>(picture, 0);
    product.x_scale = x_scale + picture * x.rows;
    if (!vector(product.x_scale)) {
      check(cudaMemcpyAsync(aligned_scale.raw(), product.x_scale,
                            static_cast<size_t>(aligned_scale.bytes()), cudaMemcpyDeviceToDevice,
                            kernels.stream()),
            "copying a picture's scales");
      product.x_scale = aligned_scale.data<float>();
    }
    product.gate = epilogue.gate.empty() ? nullptr : epilogue.gate.at(picture, 0);
    product.residual = epilogue.residual.empty() ? nullptr : epilogue.residual.at(picture, 0);
    product.out = out.at(picture, 0);
    if (const char* problem = kernel(product)) {
      check_device("an 8-bit matrix product");
      fail(ErrorCode::internal, "an 8-bit product of [{}, {}] and [{}, {}]: CUTLASS says {}",
           product.m, product.k, product.n, product.k, problem);
    }
    check_launch("an 8-bit matrix product");
  }
  return true;
}

}  // namespace

bool gemm_s8_fuses_act(const Epilogue& wanted) { return wanted.act == Act::gelu_tanh; }

bool gemm_s8_fuses_residual(const Epilogue& wanted) {
  return wanted.act == Act::none && !wanted.residual.empty();
}

bool gemm_s8(CudaKernels& kernels, const Rows& x, const float* x_scale, const S8Weight& w,
             const Epilogue& epilogue, const Rows& out) {
  if (!w.codes.aligned_to(kVectorBytes)) return false;
  S8Product product;
  product.w = w.codes.row<const int8_t>(0, 0);
  product.w_stride = w.codes.row_stride;
  product.w_scale = w.scale;
  return multiply(kernels, x, x_scale, product, epilogue, out);
}

bool sparse_s8_takes(int64_t out, int64_t in) { return out % 8 == 0 && in % kMetadataColumns == 0; }

Shape sparse_s8_metadata_shape(int64_t out, int64_t in) {
  return {in / kMetadataColumns, (out + kMetadataRows - 1) / kMetadataRows * kMetadataRows,
          kMetadataBytes};
}

void arrange_sparse_metadata(CudaKernels& kernels, const Rows& metadata, SparseS8Weight& w,
                             int64_t out_begin) {
  const int64_t padded = w.metadata.dim(1) * kMetadataBytes;
  for (int64_t block = 0; block * kMetadataBytes < metadata.cols; ++block) {
    check(
        cudaMemcpy2DAsync(
            static_cast<std::byte*>(w.metadata.raw()) + block * padded + out_begin * kMetadataBytes,
            static_cast<size_t>(kMetadataBytes),
            metadata.row<const std::byte>(0, 0) + block * kMetadataBytes,
            static_cast<size_t>(metadata.row_stride), static_cast<size_t>(kMetadataBytes),
            static_cast<size_t>(metadata.rows), cudaMemcpyDefault, kernels.stream()),
        "arranging a sparse weight");
  }
}

bool gemm_s8_sparse(CudaKernels& kernels, const Rows& x, const float* x_scale,
                    const SparseS8Weight& w, const Epilogue& epilogue, const Rows& out) {
  S8Product product;
  product.w = w.values.data<int8_t>();
  product.metadata = static_cast<const uint8_t*>(w.metadata.raw());
  product.w_scale = w.scale;
  return multiply(kernels, x, x_scale, product, epilogue, out);
}

}  // namespace fluxq::cuda
