/// Attention: cuDNN's flash attention where it can run (FLUX's joint attention, the text encoders'
/// on aligned rows), else in three steps, one picture after the other (its bytes do not depend on
/// the batch), with the scores of some queries at a time in scratch memory.
#include "kernels/cuda/blas.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/softmax.h"
#include "kernels/operands.h"
#include "kernels/workspaces.h"

namespace fluxq {
namespace {

constexpr int64_t kQueryTile = 128;  // queries at a time: whole tiles of the matrix products
constexpr int64_t kFlashDim = 128;   // the widest head that flash attention is fast for

bool starts_on_16_bytes(const Rows& x) {
  return reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.row_stride % 8 == 0 &&
         (x.batch == 1 || x.batch_stride % 8 == 0);
}

bool suits_flash(const Attention& a) {
  const int64_t dim = a.q.cols / a.heads;
  return a.q.dtype == DType::bf16 && dim % 8 == 0 && dim <= kFlashDim && starts_on_16_bytes(a.q) &&
         starts_on_16_bytes(a.k) && starts_on_16_bytes(a.v) && starts_on_16_bytes(a.out) &&
         (a.bias.empty() || a.k.rows % 8 == 0);
}

Attention picture(const Attention& args, int64_t b) {
  Attention alone = args;
  alone.q = args.q.item(b);
  alone.k = args.k.item(b);
  alone.v = args.v.item(b);
  alone.out = args.out.item(b);
  return alone;
}

CudaBlas::Heads heads_of(const Rows& x, int64_t dim) {
  return {.data = x.data,
          .dtype = x.dtype,
          .row_stride = x.row_stride,
          .head_stride = dim,
          .batch_stride = x.batch_stride};
}

/// One picture: scores = scale q k^T in f32, weights = softmax(scores) in the stream's dtype and in
/// the same memory, out = weights v.
void attend(CudaKernels& kernels, const Attention& a) {
  const int64_t dim = a.q.cols / a.heads, keys = a.k.rows;
  const int64_t stride = (keys + 7) / 8 * 8;  // floats: rows begin at multiples of 32 bytes
  int64_t at_once = std::max<int64_t>(1, kScoreBytes / (a.heads * stride * 4));
  if (at_once > kQueryTile) at_once -= at_once % kQueryTile;
  at_once = std::min(at_once, a.q.rows);
  Arena::Scope scope(kernels.arena());
  const Tensor scratch = kernels.arena().take(DType::f32, {a.heads, at_once, stride});

  for (int64_t first = 0; first < a.q.rows; first += at_once) {
    const int64_t queries = std::min(at_once, a.q.rows - first);
    const CudaBlas::Heads scores = {.data = scratch.raw(),
                                    .dtype = DType::f32,
                                    .row_stride = stride,
                                    .head_stride = queries * stride};
    kernels.blas().matmul_batched(heads_of(a.q.middle(first, queries), dim), heads_of(a.k, dim),
                                  true, scores, queries, keys, dim, a.heads, 1, a.scale);
    cuda::ScoreBias bias;
    if (!a.bias.empty())
      bias = {.data = a.bias.data<float>() + first * keys,
              .head_stride = a.q.rows * keys,
              .query_stride = keys};
    cuda::softmax_rows({.data = scratch.data<float>(),
                        .heads = a.heads,
                        .queries = queries,
                        .keys = keys,
                        .stride = stride},
                       bias, a.causal, first, a.q.dtype, kernels.stream());
    CudaBlas::Heads weights = scores;
    weights.dtype = a.q.dtype;
    weights.row_stride *= 4 / dtype_bytes(a.q.dtype);
    weights.head_stride *= 4 / dtype_bytes(a.q.dtype);
    kernels.blas().matmul_batched(weights, heads_of(a.v, dim), false,
                                  heads_of(a.out.middle(first, queries), dim), queries, dim, keys,
                                  a.heads, 1, 1);
  }
}

}  // namespace

void CudaKernels::attention(const Attention& args) {
  check_attention(args);
  if (args.q.rows == 0) return;
  if (suits_flash(args) && dnn_->attention(args)) return;
  for (int64_t b = 0; b < args.q.batch; ++b) attend(*this, picture(args, b));
}

}  // namespace fluxq
