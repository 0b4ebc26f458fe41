/// The products that give q, k and v of FLUX's heads, with QK-norm and rope in their endings: what
/// qk_norm_rope() or encode_int8() would otherwise read again and write again for every block.
///
/// A tile of 192 columns has one head of q or k (128 columns, which its norm needs together) and
/// half a head of v, so that 2 * heads tiles are all of them; the weight's rows lie in that order
/// (arrange_qkv). Within a tile they stand so that the 8 columns whose sums a thread has one after
/// the other are neighbours.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace fluxq::cuda {

inline constexpr int kQkvDim = 128;                               ///< of a head
inline constexpr int kQkvTileRows = 128, kQkvTileColumns = 192;   ///< of a tile
inline constexpr int kQkvTileValues = kQkvTileColumns - kQkvDim;  ///< its columns of v

/// The column of its part (0 to 127 of the head, or 0 to 63 of v) that stands at `place` of the
/// part: in groups of 32, place 8 j + 2 c + i has column 8 c + 2 j + i.
constexpr int qkv_column(int place) {
  return place / 32 * 32 + place % 8 / 2 * 8 + place % 32 / 8 * 2 + place % 2;
}

/// One product y [m, 3 * heads * 128] = x [m, depth] w^T with scales and bias, all rows aligned to
/// 16 bytes. Device memory. Columns of vectors and results are counted as q | k | v has them.
struct QkvProduct {
  int m = 0, depth = 0, heads = 0;
  const void* x = nullptr;  ///< codes
  int64_t x_stride = 0;
  const void* w = nullptr;  ///< of x's type, arranged
  int64_t w_stride = 0;
  const float* x_scale = nullptr;  ///< [m], or one for all where the stride is 0
  int x_scale_stride = 1;
  const float* w_scale = nullptr;  ///< [3 * heads * 128]
  const void* bias = nullptr;      ///< bf16 [3 * heads * 128], or null

  /// m is a number of pictures with as many rows each, a multiple of 128 unless it is m.
  int rows_of_picture = 0;
  const void *q_weight = nullptr, *k_weight = nullptr;  ///< bf16 [128]
  const float* rope = nullptr;                          ///< f32 [rows_of_picture, 64, 2]
  float eps = 0;

  /// bf16 [m, heads * 128] each, of one row stride. Not written where there are codes.
  void *q = nullptr, *k = nullptr, *v = nullptr;
  int64_t out_stride = 0;

  /// Of Int8Codes, or null. The product's first row of a picture is the first of tile `first_tile`
  /// of `tiles`, and a tile that it writes in part is the last one.
  int8_t *q_codes = nullptr, *k_codes = nullptr;
  uint8_t* v_codes = nullptr;  ///< null also where only q and k have codes
  float *q_scale = nullptr, *k_scale = nullptr;
  float q_factor = 1;  ///< that q_scale has beside the codes' own scale
  int tiles = 0, first_tile = 0;

  int multiprocessors = 0;
  cudaStream_t stream = nullptr;
};

/// Each returns what went wrong, null for nothing.
const char* gemm_qkv_s8(const QkvProduct& product);
const char* gemm_qkv_e4m3(const QkvProduct& product);

}  // namespace fluxq::cuda
