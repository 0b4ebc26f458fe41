#include "kernels/kernels.h"

namespace fluxq {

void Kernels::joint_attention(const JointAttention& args) {
  for (const JointAttention::Stream& stream : args.streams) {
    if (stream.normed) continue;
    qk_norm_rope(args.q.middle(stream.first, stream.count),
                 args.k.middle(stream.first, stream.count), stream.q_weight, stream.k_weight,
                 args.rope.slice(stream.first, stream.first + stream.count), args.eps);
  }
  attention({.q = args.q,
             .k = args.k,
             .v = args.v,
             .out = args.out,
             .heads = args.heads,
             .scale = args.scale});
}

}  // namespace fluxq
