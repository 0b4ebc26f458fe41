#include "kernels/ref/ref_kernels.h"

#include <cstring>

#include "kernels/operands.h"
#include "kernels/random.h"

namespace fluxq {

RefKernels::RefKernels()
    : arena_(Device::cpu, [](int64_t bytes) {
        const auto block = std::make_shared<Tensor>(Tensor::on_host(DType::u8, {bytes + 256}));
        const auto address = reinterpret_cast<uintptr_t>(block->raw());
        return std::shared_ptr<void>(block, reinterpret_cast<void*>((address + 255) / 256 * 256));
      }) {}

void RefKernels::copy_to(const Tensor& host, const Tensor& out) {
  check_copy_to(host, out);
  std::memcpy(out.raw(), host.raw(), static_cast<size_t>(host.bytes()));
}

void RefKernels::fill_random(const Tensor& out, uint64_t key, float offset, float spread) {
  fill_random_on_host(out, key, offset, spread);
}

std::unique_ptr<Kernels> make_ref_kernels() { return std::make_unique<RefKernels>(); }

}  // namespace fluxq
