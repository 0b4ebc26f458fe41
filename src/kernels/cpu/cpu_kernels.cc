#include "kernels/cpu/cpu_kernels.h"

#include <cstdlib>
#include <cstring>

#include "kernels/operands.h"
#include "kernels/random.h"

namespace fluxq {
namespace {

std::shared_ptr<void> host_memory(int64_t bytes) {
  constexpr size_t kAlignment = 256;  // what Arena promises
  const size_t rounded = (static_cast<size_t>(bytes) / kAlignment + 1) * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, rounded);
  if (!memory)
    fail(ErrorCode::out_of_memory_host, "host memory for {} bytes of scratch could not be had",
         bytes);
  return {memory, std::free};
}

}  // namespace

CpuKernels::CpuKernels(int threads) : pool_(threads), arena_(Device::cpu, host_memory) {}

void CpuKernels::copy_to(const Tensor& host, const Tensor& out) {
  check_copy_to(host, out);
  std::memcpy(out.raw(), host.raw(), static_cast<size_t>(host.bytes()));
}

void CpuKernels::fill_random(const Tensor& out, uint64_t key, float offset, float spread) {
  fill_random_on_host(out, key, offset, spread);
}

std::unique_ptr<Kernels> make_cpu_kernels(int threads) {
  return std::make_unique<CpuKernels>(threads);
}

}  // namespace fluxq
