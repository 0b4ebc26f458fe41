#include "kernels/cuda/cuda_kernels.h"

#include <algorithm>
#include <utility>

#include "kernels/cuda/blas.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/dnn.h"
#include "kernels/operands.h"
#include "kernels/usable_gpu.h"

namespace fluxq {

std::shared_ptr<void> CudaMemory::take(int64_t bytes) {
  if (bytes == 0) return nullptr;
  void* memory = nullptr;
  cuda::check(cudaMalloc(&memory, static_cast<size_t>(bytes)),
              fmt::format("memory of {} bytes", bytes));
  counts_->held += bytes;
  counts_->peak = std::max(counts_->peak, counts_->held);
  return {memory, [counts = counts_, bytes](void* pointer) {
            (void)cudaFree(pointer);
            counts->held -= bytes;
          }};
}

int64_t CudaMemory::take_peak() { return std::exchange(counts_->peak, counts_->held); }

CudaKernels::CudaKernels()
    : arena_(Device::cuda, [this](int64_t bytes) { return memory_.take(bytes); }),
      side_arena_(Device::cuda, [this](int64_t bytes) { return memory_.take(bytes); }) {
  multiprocessors_ = usable_gpu_here().multiprocessors;
  cuda::check(cudaSetDevice(0), "choosing device 0");
  for (cudaStream_t* stream : {&stream_, &side_stream_})
    cuda::check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "making a stream");
  for (cudaEvent_t* event : {&forked_, &joined_})
    cuda::check(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "making an event");
  blas_ = std::make_unique<CudaBlas>(*this);
  dnn_ = std::make_unique<CudaDnn>(*this);
}

CudaKernels::~CudaKernels() {
  (void)cudaStreamSynchronize(stream_);
  blas_.reset();
  dnn_.reset();
  for (const cudaEvent_t event : {forked_, joined_}) (void)cudaEventDestroy(event);
  for (const cudaStream_t stream : {stream_, side_stream_}) (void)cudaStreamDestroy(stream);
}

Tensor CudaKernels::allocate(DType dtype, Shape shape) {
  const std::shared_ptr<void> memory = memory_.take(element_count(shape) * dtype_bytes(dtype));
  return Tensor(dtype, std::move(shape), Device::cuda, memory, memory.get());
}

Tensor CudaKernels::upload(const Tensor& host) {
  const Tensor tensor = allocate(host.dtype(), host.shape());
  copy_to(host, tensor);
  return tensor;
}

Tensor CudaKernels::download(const Tensor& tensor) {
  const Tensor host = Tensor::on_host(tensor.dtype(), tensor.shape());
  cuda::check(cudaMemcpyAsync(host.raw(), tensor.raw(), static_cast<size_t>(tensor.bytes()),
                              cudaMemcpyDeviceToHost, stream_),
              "copying to the host");
  synchronize();
  return host;
}

void CudaKernels::copy_to(const Tensor& host, const Tensor& out) {
  check_copy_to(host, out);
  // The host's memory is pageable: CUDA has read it when the call returns.
  cuda::check(cudaMemcpyAsync(out.raw(), host.raw(), static_cast<size_t>(host.bytes()),
                              cudaMemcpyHostToDevice, stream_),
              "copying to the device");
}

void CudaKernels::synchronize() { cuda::check(cudaStreamSynchronize(stream_), "its work"); }

// Work in flight keeps a lane's scratch to itself: the two lanes never share any.
void CudaKernels::swap_lanes() {
  std::swap(stream_, side_stream_);
  std::swap(arena_, side_arena_);
}

void CudaKernels::side_by_side(const std::function<void()>& first,
                               const std::function<void()>& second) {
  cuda::check(cudaEventRecord(forked_, stream_), "marking where work forks");
  cuda::check(cudaStreamWaitEvent(side_stream_, forked_), "forking");
  first();
  swap_lanes();
  try {
    second();
  } catch (...) {
    swap_lanes();
    throw;
  }
  swap_lanes();
  cuda::check(cudaEventRecord(joined_, side_stream_), "marking where work joins");
  cuda::check(cudaStreamWaitEvent(stream_, joined_), "joining");
}

int64_t CudaKernels::free_bytes() const {
  size_t free = 0, total = 0;
  cuda::check(cudaMemGetInfo(&free, &total), "asking for its free memory");
  return static_cast<int64_t>(free);
}

std::optional<int64_t> CudaKernels::take_peak_bytes() { return memory_.take_peak(); }

CudaKernels& cuda_of(Kernels& kernels) {
  auto* cuda = dynamic_cast<CudaKernels*>(&kernels);
  if (!cuda) fail(ErrorCode::internal, "a GPU scheme on kernels that are not the GPU's");
  return *cuda;
}

CudaDevice usable_gpu_here() { return usable_gpu(CudaDriver::load().get()); }

std::unique_ptr<Kernels> make_cuda_kernels() { return std::make_unique<CudaKernels>(); }

}  // namespace fluxq
