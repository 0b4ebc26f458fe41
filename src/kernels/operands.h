/// What each operation of kernels.h asks of the shapes and dtypes of its operands, written once and
/// called by every device: each check throws Error(internal) naming the operand when it does not
/// fit.
#pragma once

#include "kernels/kernels.h"

namespace fluxq {

/// Error(internal) naming `what` unless the tensor has this dtype and shape.
void check_tensor(std::string_view what, const Tensor& tensor, DType dtype, const Shape& shape);

void check_produce(const Producer& producer, const Rows& out);
void check_apply(const Epilogue& epilogue, const Rows& acc, const Rows& out);
void check_embed(const Tensor& ids, const Tensor& table, const Tensor& positions, const Rows& out);
/// `q` and `k` have as many heads as fit their columns at the weights' size.
void check_qk_norm_rope(const Rows& q, const Rows& k, const Tensor& q_weight,
                        const Tensor& k_weight, const Tensor& rope);
void check_attention(const Attention& args);
void check_euler_step(const Rows& velocity, const Rows& latents);
/// weight [out, in, k, k] with k 1 or 3, 3 for `upsample`; bias [out]; for a stream of f32 or bf16.
void check_load_conv(const Tensor& weight, const Tensor& bias, DType stream, bool upsample);
void check_conv2d(const Tensor& x, const ConvWeight& weight, const Tensor& residual,
                  const Tensor& out);
void check_group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                      const Tensor& out);
/// The same dtype and as many elements.
void check_copy_to(const Tensor& host, const Tensor& out);
void check_fill_random(const Tensor& out);
void check_unpack_latents(const Rows& latents, const Tensor& out);
void check_to_rgb8(const Tensor& pictures, const Tensor& rgb);

}  // namespace fluxq
