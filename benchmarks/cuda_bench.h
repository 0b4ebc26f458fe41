/// What the programs that time the GPU share: memory that shows what was not written, and times
/// taken on the device.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_kernels.h"

namespace fluxq {

/// Fills `out` with NaN, so that an element that a kernel leaves out is found.
inline void poison(const CudaKernels& kernels, const Tensor& out) {
  cuda::check(cudaMemsetAsync(out.raw(), 0xff, static_cast<size_t>(out.bytes()), kernels.stream()),
              "NaN everywhere");
}

/// Of two tensors on the host.
inline bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.bytes())) == 0;
}

/// Times work on the stream by an event before and one after it.
class DeviceTimer {
 public:
  explicit DeviceTimer(const CudaKernels& kernels) : kernels_(kernels) {
    cuda::check(cudaEventCreate(&begin_), "an event");
    cuda::check(cudaEventCreate(&end_), "an event");
  }
  ~DeviceTimer() {
    (void)cudaEventDestroy(begin_);
    (void)cudaEventDestroy(end_);
  }
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;

  /// Of all that `work` puts on the stream; waits for it.
  template <typename Work>
  float ms(const Work& work) const {
    cuda::check(cudaEventRecord(begin_, kernels_.stream()), "an event");
    work();
    cuda::check(cudaEventRecord(end_, kernels_.stream()), "an event");
    cuda::check(cudaEventSynchronize(end_), "an event");
    float ms = 0;
    cuda::check(cudaEventElapsedTime(&ms, begin_, end_), "an event");
    return ms;
  }

 private:
  const CudaKernels& kernels_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

struct Sampling {
  int warm_ups, samples;  ///< launches before the first sample; an even number of samples
  int launches = 1;       ///< of a sample, back to back, so that the host's time does not show
};

/// Of one launch of `work`: the mean of the two samples in the middle.
template <typename Work>
double median_us(const CudaKernels& kernels, const Sampling& sampling, const Work& work) {
  const DeviceTimer timer(kernels);
  for (int i = 0; i < sampling.warm_ups; ++i) work();
  std::vector<float> times_ms(static_cast<size_t>(sampling.samples));
  for (float& ms : times_ms)
    ms = timer.ms([&] {
      for (int i = 0; i < sampling.launches; ++i) work();
    });
  std::ranges::sort(times_ms);
  const size_t half = times_ms.size() / 2;
  return 1e3 * (times_ms[half - 1] + times_ms[half]) / 2 / sampling.launches;
}

}  // namespace fluxq
