// Stands in until conv.cc, group_norm.cc and latents.cc are here: then this file goes.
#include "kernels/cpu/cpu_kernels.h"

namespace fluxq {

std::shared_ptr<ConvWeight> CpuKernels::load_conv(const Tensor&, const Tensor&, DType) {
  fail(ErrorCode::unsupported, "convolutions on the CPU: not here yet");
}
void CpuKernels::conv2d(const Tensor&, const ConvWeight&, bool, const Tensor&, const Tensor&) {
  fail(ErrorCode::unsupported, "convolutions on the CPU: not here yet");
}
void CpuKernels::group_norm(const Tensor&, int64_t, const Tensor&, const Tensor&, float, bool,
                            const Tensor&) {
  fail(ErrorCode::unsupported, "group norm on the CPU: not here yet");
}
void CpuKernels::unpack_latents(const Rows&, float, float, const Tensor&) {
  fail(ErrorCode::unsupported, "unpacking on the CPU: not here yet");
}

}  // namespace fluxq
