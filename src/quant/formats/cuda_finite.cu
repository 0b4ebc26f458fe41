#include "kernels/cuda/check.h"
#include "kernels/cuda/device_values.cuh"
#include "quant/formats/cuda_quantize.h"

namespace fluxq::cuda {
namespace {

constexpr int kThreads = 256;
constexpr unsigned long long kNone = ~0ull;

template <typename T>
__global__ void find_first_not_finite(const T* values, int64_t count, unsigned long long* first) {
  const int64_t begin = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kChunk;
  float v[kChunk];
  load_chunk<false>(values + begin, count - begin, v);
#pragma unroll
  for (int i = 0; i < kChunk; ++i)
    if (!isfinite(v[i])) atomicMin(first, static_cast<unsigned long long>(begin + i));
}

}  // namespace

void require_finite(CudaKernels& kernels, const Tensor& weight, std::string_view name) {
  if (weight.elements() == 0) return;
  const Arena::Scope scope(kernels.arena());
  const Tensor found = kernels.arena().take(DType::u64, {1});
  auto* first = static_cast<unsigned long long*>(found.raw());
  check(cudaMemsetAsync(first, 0xff, sizeof kNone, kernels.stream()), "setting memory");
  constexpr int64_t kPerBlock = int64_t{kThreads} * kChunk;
  const int64_t count = weight.elements();
  const auto blocks = static_cast<unsigned>((count + kPerBlock - 1) / kPerBlock);
  if (weight.dtype() == DType::bf16)
    find_first_not_finite<<<blocks, kThreads, 0, kernels.stream()>>>(weight.data<bf16>(), count,
                                                                     first);
  else
    find_first_not_finite<<<blocks, kThreads, 0, kernels.stream()>>>(weight.data<float>(), count,
                                                                     first);
  check_launch("require_finite");
  const auto bad = *static_cast<unsigned long long*>(kernels.download(found).raw());
  if (bad == kNone) return;
  const auto index = static_cast<int64_t>(bad);
  const Tensor one = kernels.download(weight.reshaped({count, 1}).slice(index, index + 1));
  const int64_t in = weight.shape().empty() ? 1 : weight.shape().back();
  fail(ErrorCode::numeric, "weight {} at [{}, {}]: expected a finite number, got {:g}", name,
       index / in, index % in, to_floats(one)[0]);
}

}  // namespace fluxq::cuda
