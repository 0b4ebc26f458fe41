/// The kernels behind gemm_s8.h, each in a file of its own (they take a minute each to compile).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/arena.h"

namespace fluxq::cuda {

/// One product as the kernels take it: y [m, n] = epilogue(x [m, k] w [n, k]^T), all rows aligned
/// to 16 bytes. Device memory; bias, gate and residual are bf16, null for none.
struct S8Product {
  int m = 0, n = 0, k = 0;
  const int8_t* x = nullptr;
  int64_t x_stride = 0;
  const int8_t* w = nullptr;          ///< rows of codes, or of a sparse weight its kept codes
  int64_t w_stride = 0;               ///< unless sparse
  const uint8_t* metadata = nullptr;  ///< of a sparse weight (SparseS8Weight)
  const float* x_scale = nullptr;     ///< [m]
  const float* w_scale = nullptr;     ///< [n]
  const void* bias = nullptr;         ///< [n]
  const void* gate = nullptr;         ///< [n]
  const void* residual = nullptr;     ///< [m, n], or the output
  int64_t residual_stride = 0;
  void* out = nullptr;
  int64_t out_stride = 0;
  Arena* arena = nullptr;  ///< for the sums of tiles that are split
  int multiprocessors = 0;
  cudaStream_t stream = nullptr;
};

/// Each returns what went wrong, null for nothing.
const char* gemm_s8_bias(const S8Product& product);
const char* gemm_s8_gelu(const S8Product& product);
const char* gemm_s8_residual(const S8Product& product);
/// The same for long sums, and how many rows and columns a tile of either has.
const char* gemm_s8_residual_deep(const S8Product& product);
inline constexpr int kS8TileRows = 128, kS8TileColumns = 128, kS8DeepTileColumns = 256;

const char* gemm_s8_sparse_bias(const S8Product& product);
const char* gemm_s8_sparse_gelu(const S8Product& product);
const char* gemm_s8_sparse_residual(const S8Product& product);

}  // namespace fluxq::cuda
