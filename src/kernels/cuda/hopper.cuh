/// sm_90a's own instructions as functions: barriers in shared memory, bulk copies that complete on
/// them, and matrix products by a warpgroup (4 warps). Sources: PTX ISA 8.0 and up, sections
/// mbarrier, cp.async.bulk, wgmma; the layouts are those of CUTLASS's
/// cute/atom/mma_traits_sm90_gmma.hpp.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace fluxq::cuda::hopper {

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// ---- barriers in shared memory

/// A phase ends when `count` arrivals have come and all announced bytes too.
struct Barrier {
  uint64_t state;
};

__device__ inline void init(Barrier& barrier, uint32_t count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)),
               "r"(count));
}
/// After init(), before a __syncthreads(): the copy engine sees the barriers.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ inline void arrive(Barrier& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier))
               : "memory");
}
__device__ inline void arrive_expecting(Barrier& barrier, uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)),
      "r"(bytes)
      : "memory");
}
/// Announces bytes; whoever does so arrives later.
__device__ inline void expect_bytes(Barrier& barrier, uint32_t bytes) {
  asm volatile(
      "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)),
      "r"(bytes)
      : "memory");
}
/// Returns when the phase of this parity has ended; parity 1 of a new barrier has.
__device__ inline void wait(Barrier& barrier, uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred ended;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n"
      "@ended bra.uni done;\n"
      "bra.uni again;\n"
      "done:\n"
      "}\n" ::"r"(shared_address(&barrier)),
      "r"(parity)
      : "memory");
}

/// Which slot of a ring of kSlots comes next, and the parity of its round.
template <int kSlots>
struct RingPosition {
  int slot = 0;
  uint32_t parity = 0;
  __device__ void advance() {
    if (++slot < kSlots) return;
    slot = 0;
    parity ^= 1;
  }
};

/// Barriers of the hardware, by number: `threads` take part, some of which only arrive.
__device__ inline void sync_named(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
__device__ inline void arrive_named(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

// ---- copies to shared memory, by one thread

__device__ inline void copy_bulk(void* to, const void* from, uint32_t bytes, Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(from), "r"(bytes), "r"(shared_address(&barrier))
      : "memory");
}
/// The box of a map of three dimensions that begins at (x, y, z), x innermost.
__device__ inline void copy_box(void* to, const CUtensorMap& map, int x, int y, int z,
                                Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(&barrier)), "r"(x), "r"(y), "r"(z)
      : "memory");
}

// ---- registers of a warpgroup

template <int kCount>
__device__ inline void give_registers_back() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

// ---- matrix products

/// An operand in shared memory in the 128-byte swizzle: 16-byte piece p of line l (128 bytes) lies
/// at piece p ^ (l % 8); groups of 8 lines (1024 bytes) follow each other; `address` is in group's
/// line 0. A line is 128 bytes of K (K-major), or of N (MN-major), whose next 128 bytes of N then
/// begin `leading_bytes` further on.
__device__ inline uint64_t swizzled_operand(uint32_t address, uint32_t leading_bytes = 16) {
  constexpr uint64_t kGroupBytes = 1024, kSwizzle128 = 1;
  return uint64_t{(address & 0x3ffffu) >> 4} | uint64_t{leading_bytes >> 4} << 16 |
         (kGroupBytes >> 4) << 32 | kSwizzle128 << 62;
}

/// The same, `bytes` further on.
__device__ inline uint64_t moved(uint64_t operand, int bytes) {
  return operand + static_cast<uint32_t>(bytes >> 4);
}

__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Until at most kPending groups are not done.
template <int kPending>
__device__ inline void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
/// No use of the registers moves across this point.
template <int kSize>
__device__ inline void pin(float (&values)[kSize]) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) asm volatile("" : "+f"(values[i])::"memory");
}
template <int kSize>
__device__ inline void pin(uint32_t (&values)[kSize]) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) asm volatile("" : "+r"(values[i])::"memory");
}

#define FLUXQ_REGISTERS_0_TO_63                                                      \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "          \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"
#define FLUXQ_8_OF(kind, d, i)                                                                \
  kind(d[i]), kind(d[i + 1]), kind(d[i + 2]), kind(d[i + 3]), kind(d[i + 4]), kind(d[i + 5]), \
      kind(d[i + 6]), kind(d[i + 7])
#define FLUXQ_64_OF(kind, d)                                                     \
  FLUXQ_8_OF(kind, d, 0), FLUXQ_8_OF(kind, d, 8), FLUXQ_8_OF(kind, d, 16),       \
      FLUXQ_8_OF(kind, d, 24), FLUXQ_8_OF(kind, d, 32), FLUXQ_8_OF(kind, d, 40), \
      FLUXQ_8_OF(kind, d, 48), FLUXQ_8_OF(kind, d, 56)

// In all results d [64, 128], a thread has d[4 j + 2 h + i] = row 16 warp + lane / 4 + 8 h, column
// 8 j + lane % 4 * 2 + i.

/// d s32 += a s8 [64, 32] b s8 [128, 32]^T, both K-major in shared memory.
__device__ inline void add_product_s8(uint32_t (&d)[64], uint64_t a, uint64_t b) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.ne.b32 add, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 " FLUXQ_REGISTERS_0_TO_63
      ", %64, %65, add;\n"
      "}\n"
      : FLUXQ_64_OF("+r", d)
      : "l"(a), "l"(b), "r"(1));
}

/// d f32 += a bf16 [64, 16] b bf16 [16, 128], b MN-major in shared memory. a in registers: a[2 j +
/// h] = row as in d, columns 8 j + lane % 4 * 2 and the next, the lower in the lower half.
__device__ inline void add_product_bf16(float (&d)[64], uint32_t a0, uint32_t a1, uint32_t a2,
                                        uint32_t a3, uint64_t b) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.ne.b32 add, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " FLUXQ_REGISTERS_0_TO_63
      ", {%64, %65, %66, %67}, %68, add, 1, 1, 1;\n"
      "}\n"
      : FLUXQ_64_OF("+f", d)
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b), "r"(1));
}

/// d f32 += a e4m3 [64, 32] b e4m3 [128, 32]^T, b K-major in shared memory. a in registers: a[2 w +
/// h] = row as in d, columns 16 w + lane % 4 * 4 and the next three, the lowest in the lowest byte.
__device__ inline void add_product_e4m3(float (&d)[64], uint32_t a0, uint32_t a1, uint32_t a2,
                                        uint32_t a3, uint64_t b) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.ne.b32 add, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 " FLUXQ_REGISTERS_0_TO_63
      ", {%64, %65, %66, %67}, %68, add, 1, 1;\n"
      "}\n"
      : FLUXQ_64_OF("+f", d)
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b), "r"(1));
}

#undef FLUXQ_REGISTERS_0_TO_63
#undef FLUXQ_8_OF
#undef FLUXQ_64_OF

}  // namespace fluxq::cuda::hopper
