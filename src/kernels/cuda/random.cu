#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/operands.h"
#include "kernels/random.h"

namespace fluxq {
namespace {

using namespace cuda;

template <typename T, bool kAligned>
__global__ void random_kernel(T* out, int64_t count, uint64_t key, float offset, float step) {
  const int64_t first = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kChunk;
  float values[kChunk];
#pragma unroll
  for (int i = 0; i < kChunk; ++i)
    values[i] = random_value(key, static_cast<uint64_t>(first + i), offset, step);
  store_chunk<kAligned>(values, count - first, out + first);
}

template <typename T>
void run(cudaStream_t stream, const Tensor& out, uint64_t key, float offset, float step) {
  constexpr int64_t kThreads = 256, kPerBlock = kThreads * kChunk;
  const auto blocks = static_cast<unsigned>((out.elements() + kPerBlock - 1) / kPerBlock);
  if (has_aligned_chunks(out))
    random_kernel<T, true>
        <<<blocks, kThreads, 0, stream>>>(out.data<T>(), out.elements(), key, offset, step);
  else
    random_kernel<T, false>
        <<<blocks, kThreads, 0, stream>>>(out.data<T>(), out.elements(), key, offset, step);
}

}  // namespace

void CudaKernels::fill_random(const Tensor& out, uint64_t key, float offset, float spread) {
  check_fill_random(out);
  if (out.elements() == 0) return;
  const float step = spread * kRandomUnit;
  if (out.dtype() == DType::bf16)
    run<bf16>(stream_, out, key, offset, step);
  else
    run<float>(stream_, out, key, offset, step);
  check_launch("fill_random");
}

}  // namespace fluxq
