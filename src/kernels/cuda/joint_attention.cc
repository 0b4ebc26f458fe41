#include <algorithm>

#include "kernels/cuda/attention_int8.h"

namespace fluxq {

using cuda::Int8Codes;

std::shared_ptr<AttentionCodes> CudaKernels::attention_codes(const JointAttention& args) {
  // A product writes whole tiles of codes.
  const bool begin_with_tiles = std::ranges::all_of(
      args.streams, [](const auto& stream) { return stream.first % cuda::kInt8Tile == 0; });
  if (!begin_with_tiles || !cuda::suits_int8(args)) return nullptr;
  return std::make_shared<Int8Codes>(cuda::take_int8_codes(*this, args));
}

void CudaKernels::joint_attention(const JointAttention& args) {
  if (!cuda::suits_int8(args)) return Kernels::joint_attention(args);
  Arena::Scope scope(arena());
  const auto* begun = dynamic_cast<const Int8Codes*>(args.codes.get());
  const Int8Codes codes = begun ? *begun : cuda::take_int8_codes(*this, args);
  cuda::encode_int8(*this, args, codes);
  cuda::attention_int8(*this, codes, args.v, args.out);
}

}  // namespace fluxq
