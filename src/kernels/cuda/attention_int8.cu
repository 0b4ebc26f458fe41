#include "kernels/cuda/attention_int8.h"

#include <cudaTypedefs.h>

#include "base/error.h"
#include "kernels/cuda/attention_groups.cuh"
#include "kernels/cuda/check.h"

// As FlashAttention-3 (Shah et al. 2024), blocks stay and take one tile of queries after the other,
// and one thread copies tiles of keys and values into a ring. Two or three warpgroups have 64
// queries each: while one computes exponentials, the tensor cores work for the others.

namespace fluxq::cuda {
namespace {

using namespace attention8;

constexpr int kProducerRegisters = 24;
constexpr int kAllRegisters = 65536;  // of a multiprocessor; asking for more would wait for ever

template <typename T>
constexpr int kSharedBytes = sizeof(Shared<T>) + 1024;  // aligned to 1024 by the kernel

template <typename T>
__device__ void produce(const Work& work, const CUtensorMap& values, Shared<T>& shared) {
  RingPosition<kStages> at;
  uint32_t q_parity = 0;
  for (int index = static_cast<int>(blockIdx.x); index < work.units;
       index += static_cast<int>(gridDim.x)) {
    const Unit unit(work, index);
    wait(shared.q_empty, q_parity ^ 1);
    q_parity ^= 1;
    const int64_t first_tile = int64_t{unit.head_index} * work.parts.tiles;
    const int first_row = unit.tile * kQueryRows<T>;
    const uint32_t q_bytes = min(kQueryRows<T>, work.parts.tiles * kTile - first_row) * kDim;
    arrive_expecting(shared.q_full, q_bytes);
    copy_bulk(shared.q, work.q + (first_tile * kTile + first_row) * kDim, q_bytes, shared.q_full);
#pragma unroll 1
    for (int j = unit.first; j < unit.last; ++j, at.advance()) {
      wait(shared.k_empty[at.slot], at.parity ^ 1);
      arrive_expecting(shared.k_full[at.slot], kCodeBytes);
      const int64_t code = (first_tile + j) * kCodeBytes;
      copy_bulk(shared.k[at.slot], work.k + code, kCodeBytes, shared.k_full[at.slot]);
      wait(shared.v_empty[at.slot], at.parity ^ 1);
      arrive_expecting(shared.v_full[at.slot], T::kValueBytes);
      if constexpr (std::is_same_v<T, E4m3>) {
        copy_bulk(shared.v[at.slot], work.v + code, kCodeBytes, shared.v_full[at.slot]);
      } else {
        for (int half = 0; half < 2; ++half)
          copy_box(shared.v[at.slot] + half * kHalfBytes, values, unit.head * kDim + half * 64,
                   j * kTile, unit.picture, shared.v_full[at.slot]);
      }
    }
  }
}

template <typename T>
__device__ void consume(const Work& work, Shared<T>& shared) {
  Group<T> group(work, shared);
  for (int index = static_cast<int>(blockIdx.x); index < work.units;
       index += static_cast<int>(gridDim.x))
    attend_unit(group, Unit(work, index));
}

template <typename T>
__global__ void __launch_bounds__(kThreads<T>, 1)
    attend(const Work work, const __grid_constant__ CUtensorMap values) {
  static_assert((kProducerRegisters + T::kGroups * T::kGroupRegisters) * kGroupThreads <=
                kAllRegisters);
  extern __shared__ uint8_t memory[];
  auto& shared =
      *reinterpret_cast<Shared<T>*>(memory + ((1024 - shared_address(memory) % 1024) % 1024));
  if (threadIdx.x == 0) {
    constexpr int kWarps = T::kGroups * kGroupThreads / 32;  // that release
    init(shared.q_full, 1);
    init(shared.q_empty, kWarps);
    for (int i = 0; i < kStages; ++i) {
      init(shared.k_full[i], 1);
      init(shared.v_full[i], 1);
      init(shared.k_empty[i], kWarps);
      init(shared.v_empty[i], kWarps);
    }
    publish_barriers();
  }
  __syncthreads();
  if (threadIdx.x < kGroupThreads) {
    give_registers_back<kProducerRegisters>();
    if (threadIdx.x == 0) produce<T>(work, values, shared);
  } else {
    take_registers<T::kGroupRegisters>();
    consume<T>(work, shared);
  }
}

/// v in boxes of 128 rows and 64 columns; rows past the end are zeros.
CUtensorMap map_of(const Rows& v) {
  static const auto encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                           cudaEnableDefault, &found),
          "the driver's tensor maps");
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
  }();
  if (encode == nullptr)
    fail(ErrorCode::driver_too_old, "int8 attention: the driver has no tensor maps");
  CUtensorMap map;
  const auto cols = static_cast<cuuint64_t>(v.cols), rows = static_cast<cuuint64_t>(v.rows);
  const cuuint64_t sizes[3] = {cols, rows, static_cast<cuuint64_t>(v.batch)};
  const auto row_bytes = static_cast<cuuint64_t>(v.row_stride * 2);
  const cuuint64_t strides[2] = {
      row_bytes, v.batch > 1 ? static_cast<cuuint64_t>(v.batch_stride * 2) : row_bytes * rows};
  const cuuint32_t box[3] = {64, kTile, 1}, steps[3] = {1, 1, 1};
  const CUresult status =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, v.data, sizes, strides, box, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS)
    fail(ErrorCode::internal, "int8 attention: the driver refused the map of v, status {}",
         static_cast<int>(status));
  return map;
}

template <typename T>
void launch(CudaKernels& kernels, const Int8Codes& codes, const CUtensorMap& values,
            const Rows& out) {
  static const cudaError_t has_memory =
      cudaFuncSetAttribute(attend<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes<T>);
  check(has_memory, "int8 attention's shared memory");
  const auto batch = static_cast<int>(codes.q.dim(0)), heads = static_cast<int>(codes.q.dim(1));
  Arena::Scope scope(kernels.arena());
  const AttentionParts parts =
      share_out(kernels, batch, static_cast<int>(out.rows), heads, kQueryRows<T>);
  const Work work = {.q = codes.q.data<int8_t>(),
                     .k = codes.k.data<int8_t>(),
                     .q_scale = codes.q_scale.data<float>(),
                     .k_scale = codes.k_scale.data<float>(),
                     .v = static_cast<const uint8_t*>(codes.v.raw()),
                     .out = out,
                     .parts = parts,
                     .units = parts.units() * batch};
  const int blocks = std::min(work.units, kernels.multiprocessors());
  attend<T><<<static_cast<unsigned>(blocks), kThreads<T>, kSharedBytes<T>, kernels.stream()>>>(
      work, values);
  check_launch("attention_int8");
  merge_parts(kernels, parts, out);
}

}  // namespace

bool suits_int8(const JointAttention& a) {
  const auto suits = [](const Rows& x) { return x.dtype == DType::bf16 && has_aligned_chunks(x); };
  return a.precision != AttentionPrecision::bf16 && a.q.cols == a.heads * kInt8Dim &&
         a.q.rows > 0 && a.streams.size() <= 2 && suits(a.q) && suits(a.k) && suits(a.v) &&
         suits(a.out);
}

void attention_int8(CudaKernels& kernels, const Int8Codes& codes, const Rows& v, const Rows& out) {
  if (codes.v.empty())
    launch<Bf16>(kernels, codes, map_of(v), out);
  else
    launch<E4m3>(kernels, codes, {}, out);
}

}  // namespace fluxq::cuda
