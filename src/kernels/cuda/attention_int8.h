/// Flash attention with 8-bit scores: q and k as int8 codes, weights and values in bf16 or e4m3.
///
/// q and k are normed and rotated as qk_norm_rope() does and multiplied by one orthonormal Hadamard
/// matrix, which leaves every q . k what it was and spreads a head's few large columns over all of
/// them: by the product that makes them (gemm_qkv.h) or by a pass of its own. q has a scale per
/// row, k one per tile of 128 rows, so that a tile of scores has a scale per row. Values in e4m3
/// have none: its exponents keep what lies between 2^-6 and 448 as well with one as without.
#pragma once

#include "kernels/cuda/cuda_kernels.h"

namespace fluxq::cuda {

inline constexpr int64_t kInt8Dim = 128;   // of a head: no other is taken
inline constexpr int64_t kInt8Tile = 128;  // rows

/// The codes of a batch; tiles = rows / 128, rounded up. Rows that do not exist have any codes.
/// A row's 8 pieces of 16 columns are stored in the order that the tensor cores read: piece p at
/// place p ^ (row % 8).
struct Int8Codes final : AttentionCodes {
  Tensor q, k;     ///< i8 [batch, heads, tiles, 128, 128]
  Tensor q_scale;  ///< f32 [batch, heads, tiles * 128]: scores in powers of 2 = codes' product *
                   ///< q_scale * k_scale
  Tensor k_scale;  ///< f32 [batch, heads, tiles]
  Tensor v;        ///< f8_e4m3 [batch, heads, tiles, 128 columns, 128 rows], or empty; rows that do
                   ///< not exist are zeros. Of each 16 rows, row 8 u + 2 c + i is at 4 c + 2 u + i.
};

/// Takes memory from the arena: with the values for fp8, without for int8.
Int8Codes take_int8_codes(CudaKernels& kernels, const JointAttention& args);

/// What q_scale is beside the scale of q's codes: attention's own and log2(e).
float q_scale_factor(const JointAttention& args);

/// The codes of args.q, args.k and, if there are any, args.v, which stay as they are. Those of a
/// normed stream are there already where args has codes; where it has none, its q and k are normed
/// rows. At most two streams.
void encode_int8(CudaKernels& kernels, const JointAttention& args, const Int8Codes& codes);

/// out bf16 [batch, rows, heads * 128] = softmax over the codes' scores, times the values' codes,
/// or where there are none v bf16 (of out's shape).
void attention_int8(CudaKernels& kernels, const Int8Codes& codes, const Rows& v, const Rows& out);

/// Whether the kernels above can do this.
bool suits_int8(const JointAttention& args);

}  // namespace fluxq::cuda
