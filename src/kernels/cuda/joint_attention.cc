#include "kernels/cuda/attention_int8.h"

namespace fluxq {

void CudaKernels::joint_attention(const JointAttention& args) {
  if (args.precision == AttentionPrecision::bf16 || !cuda::suits_int8(args))
    return Kernels::joint_attention(args);
  Arena::Scope scope(arena());
  const cuda::Int8Codes codes = cuda::take_int8_codes(*this, args);
  cuda::encode_int8(*this, args, codes);
  cuda::attention_int8(*this, codes, args.v, args.out);
}

}  // namespace fluxq
