/// The operands of attention in 8 bits, from the output of a qkv layer in one pass, and its results
/// back to bf16.
///
/// q and k are normed and rotated as qk_norm_rope() does, then multiplied by one orthonormal
/// Hadamard matrix, which leaves every q . k what it was and spreads a head's few large columns
/// over all of them; without it the scores are too coarse. After the norm their size is known, so
/// their scale is a constant. Values have a scale per column, which attention leaves alone: a
/// result's column has it too.
#pragma once

#include "kernels/cuda/cuda_kernels.h"

namespace fluxq::cuda {

inline constexpr int64_t kCodedDim = 128;  // of a head: no other is taken

/// Codes of q and k = their values * this: the largest code is 448, a value 5 times as large as is
/// usual is 40, one of the smallest normal numbers is 0.002.
inline constexpr float kQueryKeyScale = 8;

/// One batch's codes.
struct AttentionCodes {
  Tensor qkv;          ///< f8_e4m3 [batch, rows, 3, heads, 128]: q, k, v
  Tensor value_scale;  ///< f32 [batch, heads * 128]: code = value * scale
};

/// Takes memory from the arena.
AttentionCodes take_attention_codes(CudaKernels& kernels, int64_t batch, int64_t rows,
                                    int64_t heads);

/// Chooses codes.value_scale from a sample of v's rows, with room for values 8 times as large.
void choose_value_scales(CudaKernels& kernels, const Rows& v, const AttentionCodes& codes);

/// Rows of one stream (text or image), which become the rows from `first` on of the codes: q, k and
/// v bf16 [batch, rows, heads * 128], weights bf16 [128], rope f32 [rows, 64, 2]. Needs
/// value_scale.
struct CodedStream {
  Rows q, k, v;
  Tensor q_weight, k_weight, rope;
  float eps;
};
void encode_attention(CudaKernels& kernels, const CodedStream& stream, int64_t first,
                      const AttentionCodes& codes);

/// out bf16 = results f8_e4m3 [batch, rows, heads * 128] / value_scale.
void decode_attention(CudaKernels& kernels, const Tensor& results, const Tensor& value_scale,
                      const Rows& out);

/// Whether the kernels above can read or write these rows.
bool suits_attention_codes(const Rows& rows);

}  // namespace fluxq::cuda
