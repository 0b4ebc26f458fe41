#include "kernels/cuda/attention_codes.h"
#include "kernels/cuda/attention_int8.h"
#include "kernels/cuda/dnn.h"

namespace fluxq {
namespace {

/// One picture. False, with out not written, where cuDNN has no engine for it.
bool attend_in_fp8(CudaKernels& kernels, const JointAttention& a) {
  using namespace cuda;
  Arena::Scope scope(kernels.arena());
  const AttentionCodes codes = take_attention_codes(kernels, 1, a.q.rows, a.heads);
  const Tensor results = kernels.arena().take(DType::f8_e4m3, {1, a.q.rows, a.heads, kCodedDim});
  choose_value_scales(kernels, a.v, codes);
  for (const JointAttention::Stream& stream : a.streams) {
    const auto rows = [&](const Rows& x) { return x.middle(stream.first, stream.count); };
    encode_attention(kernels,
                     {.q = rows(a.q),
                      .k = rows(a.k),
                      .v = rows(a.v),
                      .q_weight = stream.q_weight,
                      .k_weight = stream.k_weight,
                      .rope = a.rope.slice(stream.first, stream.first + stream.count),
                      .eps = a.eps},
                     stream.first, codes);
  }
  const float score_scale = a.scale / (kQueryKeyScale * kQueryKeyScale);
  if (!kernels.dnn().attention_e4m3(codes.qkv, score_scale, results)) return false;
  decode_attention(kernels, results, codes.value_scale, a.out);
  return true;
}

void attend_in_int8(CudaKernels& kernels, const JointAttention& a) {
  Arena::Scope scope(kernels.arena());
  const cuda::Int8Codes codes = cuda::take_int8_codes(kernels, a.q.batch, a.q.rows, a.heads);
  cuda::encode_int8(kernels, a, codes);
  cuda::attention_int8(kernels, codes, a.v, a.out);
}

}  // namespace

void CudaKernels::joint_attention(const JointAttention& args) {
  if (args.precision == AttentionPrecision::int8 && cuda::suits_int8(args))
    return attend_in_int8(*this, args);
  const auto suits = [](const Rows& x) { return cuda::suits_attention_codes(x); };
  if (args.precision != AttentionPrecision::fp8 || args.q.cols != args.heads * cuda::kCodedDim ||
      !suits(args.q) || !suits(args.k) || !suits(args.v) || !suits(args.out))
    return Kernels::joint_attention(args);
  for (int64_t b = 0; b < args.q.batch; ++b) {  // a picture's bytes do not depend on the batch
    JointAttention alone = args;
    alone.q = args.q.item(b);
    alone.k = args.k.item(b);
    alone.v = args.v.item(b);
    alone.out = args.out.item(b);
    if (!attend_in_fp8(*this, alone)) Kernels::joint_attention(alone);
  }
}

}  // namespace fluxq
