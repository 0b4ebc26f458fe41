/// The kernels of gemm_qkv.h: CUTLASS's Hopper kernel, in which two groups of warps have a tile
/// each, with an ending of our own. One in each .cu (gemm_s8.cuh says why).
#pragma once

#include <cutlass/cutlass.h>
#include <cutlass/gemm/device/gemm_universal_adapter.h>
#include <cute/tensor.hpp>
#include <cutlass/epilogue/collective/detail.hpp>
#include <cutlass/epilogue/dispatch_policy.hpp>
#include <cutlass/gemm/collective/collective_builder.hpp>
#include <cutlass/gemm/kernel/gemm_universal.hpp>

#include "kernels/cuda/attention_codes.cuh"
#include "kernels/cuda/gemm_qkv.h"
#include "kernels/cuda/gemm_tiles.h"

namespace fluxq::cuda::qkv {

constexpr int kGroupThreads = 128, kWarps = kGroupThreads / 32;
constexpr int kRows = 4;                   // that a thread has of a tile
constexpr int kHeadChunks = kQkvDim / 32;  // of 8 neighbouring columns, that it has of a row
constexpr int kValueChunks = kQkvTileValues / 32;

/// A thread's part of a row's head, its columns 32 g + 8 c + i at [g][i], c its place of four.
using Head = float[kHeadChunks][kChunk];

/// A number of rows' largest magnitude over the four threads that share each.
__device__ inline uint32_t largest_of_four(uint32_t bits) {
  bits = max(bits, __shfl_xor_sync(kWholeWarp, bits, 1));
  return max(bits, __shfl_xor_sync(kWholeWarp, bits, 2));
}

/// hadamard_128() of a head as four threads have it.
__device__ inline void transform(Head& v, int quarter) {
#pragma unroll
  for (int step = 1; step < kChunk; step *= 2)
#pragma unroll
    for (auto& chunk : v)
#pragma unroll
      for (int i = 0; i < kChunk; ++i)
        if ((i & step) == 0) sum_and_difference(chunk[i], chunk[i + step]);
#pragma unroll
  for (int step = 1; step < kHeadChunks; step *= 2)
#pragma unroll
    for (int g = 0; g < kHeadChunks; ++g)
#pragma unroll
      for (int i = 0; i < kChunk; ++i)
        if ((g & step) == 0) sum_and_difference(v[g][i], v[g + step][i]);
#pragma unroll
  for (int step = 1; step < 4; step *= 2) {
    const float sign = (quarter & step) != 0 ? -1.0f : 1.0f;
#pragma unroll
    for (auto& chunk : v)
#pragma unroll
      for (float& x : chunk) x = fmaf(x, sign, __shfl_xor_sync(kWholeWarp, x, step));
  }
}

__device__ inline uint32_t magnitude_bits(const Head& v) {
  uint32_t bits = 0;
#pragma unroll
  for (const auto& chunk : v) bits = max(bits, cuda::magnitude_bits(chunk));
  return bits;
}

/// Writes row `row` of a tile's codes. hadamard_128() leaves bits 0, 1, 6, 2, 3, 4, 5 of a column's
/// number in this order, the lowest first: a thread has pieces of 16 neighbours.
__device__ inline void store_codes(const Head& v, float inverse, int row, int quarter,
                                   int8_t* tile) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float low[kChunk], high[kChunk];
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      low[i] = v[half + i / 4 * 2][i % 4];
      high[i] = v[half + i / 4 * 2][i % 4 + 4];
    }
    const uint2 a = codes_of(low, inverse), b = codes_of(high, inverse);
    const int piece = (quarter + 4 * half) ^ row % 8;
    *reinterpret_cast<uint4*>(tile + row * kQkvDim + piece * 16) = {a.x, a.y, b.x, b.y};
  }
}

/// The ending of a tile: of 24 groups of 8 columns, 16 are a head of q or k and 8 half a head of v.
template <typename Sum>
class Ending {
 public:
  // What CUTLASS asks of an ending.
  using EpilogueSchedule = cutlass::epilogue::NoSmemWarpSpecialized;
  using DispatchPolicy = EpilogueSchedule;
  using ElementAccumulator = Sum;
  using ElementCompute = float;
  using ElementOutput = cutlass::bfloat16_t;
  using ElementC = cutlass::bfloat16_t;
  using ElementD = cutlass::bfloat16_t;
  using StrideC = cute::Stride<int64_t, cute::Int<1>, int64_t>;
  using StrideD = StrideC;
  struct ThreadEpilogueOp {
    using ElementOutput = cutlass::bfloat16_t;
    static constexpr int kCount = 8;
  };
  struct SharedStorage {
    uint32_t largest[kWarps];
  };
  using Arguments = QkvProduct;
  using Params = QkvProduct;

  template <typename Shape>
  static Params to_underlying_arguments(const Shape&, const Arguments& arguments, void*) {
    return arguments;
  }
  template <typename Shape>
  static size_t get_workspace_size(const Shape&, const Arguments&) {
    return 0;
  }
  template <typename Shape>
  static cutlass::Status initialize_workspace(const Shape&, const Arguments&, void*, cudaStream_t,
                                              cutlass::CudaHostAdapter* = nullptr) {
    return cutlass::Status::kSuccess;
  }
  template <typename Shape>
  static bool can_implement(const Shape&, const Arguments&) {
    return true;
  }
  CUTLASS_HOST_DEVICE explicit Ending(const Params& params) : p_(params) {}

  template <typename Problem, typename Tile, typename Place, typename Engine, typename Layout,
            typename Mma, typename Rest>
  CUTLASS_DEVICE void operator()(const Problem&, const Tile&, const Place& place,
                                 const cute::Tensor<Engine, Layout>& sums, const Mma&, const Rest&,
                                 int thread, char* shared) const {
    // sums[2 m groups][24 groups of columns][2 rows][2 columns]
    static_assert(decltype(cute::size(sums))::value == kRows * kQkvTileColumns / 4);
    static_assert(decltype(cute::size<1>(sums))::value == 2);
    const Thread at(p_, cute::get<0>(place), cute::get<1>(place), thread);
    const auto sum = [&sums](int row, int column, int i) {
      return static_cast<float>(
          sums(i % 2 + 2 * (row % 2) + 4 * (4 * column + i / 2) + row / 2 * (kQkvTileColumns / 2)));
    };

    float x_scale[kRows];
    bool exists[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      exists[r] = at.first_row + at.row(r) < p_.m;
      x_scale[r] = p_.x_scale != nullptr && exists[r]
                       ? p_.x_scale[int64_t{at.first_row + at.row(r)} * p_.x_scale_stride]
                       : 1.0f;
    }

#pragma unroll
    for (int g = 0; g < kValueChunks; ++g) {
      const int column = at.tile * kQkvTileValues + at.column(g);
      const Scaled scaled(p_, 2 * p_.heads * kQkvDim + column);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float v[kChunk];
#pragma unroll
        for (int i = 0; i < kChunk; ++i) v[i] = scaled(sum(r, kHeadChunks + g, i), x_scale[r], i);
        if (exists[r]) store(p_.v, at.first_row + at.row(r), column, v);
      }
    }

    Head heads[kRows];
    float squares[kRows] = {};
#pragma unroll
    for (int g = 0; g < kHeadChunks; ++g) {
      const Scaled scaled(p_, at.tile * kQkvDim + at.column(g));
#pragma unroll
      for (int r = 0; r < kRows; ++r)
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
          const float v = scaled(sum(r, g, i), x_scale[r], i);
          heads[r][g][i] = v;
          squares[r] = fmaf(v, v, squares[r]);
        }
    }
    const bool coded = p_.q_codes != nullptr;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      squares[r] += __shfl_xor_sync(kWholeWarp, squares[r], 1);
      squares[r] += __shfl_xor_sync(kWholeWarp, squares[r], 2);
      squares[r] = 1.0f / sqrtf(squares[r] * (1.0f / kQkvDim) + p_.eps);
    }
    norm_and_rotate(at, squares, coded, heads);
    if (!coded) {
#pragma unroll
      for (int r = 0; r < kRows; ++r)
#pragma unroll
        for (int g = 0; g < kHeadChunks; ++g)
          if (exists[r])
            store(at.is_k ? p_.k : p_.q, at.first_row + at.row(r), at.head * kQkvDim + at.column(g),
                  heads[r][g]);
      return;
    }
    auto& largest = reinterpret_cast<SharedStorage*>(shared)->largest;
    encode(at, exists, largest, heads);
  }

 private:
  /// What a thread has of a tile: columns(g), ... of rows first_row + row(0 .. 3).
  struct Thread {
    int thread, quarter, first_row, tile, head, picture, row_of_picture;
    bool is_k;
    __device__ Thread(const Params& p, int row_tile, int column_tile, int index)
        : thread(index),
          quarter(index % 4),
          first_row(row_tile * kQkvTileRows),
          tile(column_tile),
          head(column_tile % p.heads),
          picture(first_row / p.rows_of_picture),
          row_of_picture(first_row % p.rows_of_picture),
          is_k(column_tile >= p.heads) {}
    __device__ int row(int r) const {
      return r / 2 * 64 + thread / 32 * 16 + r % 2 * 8 + thread % 32 / 4;
    }
    __device__ int column(int g) const { return g * 32 + quarter * kChunk; }
  };

  /// Eight neighbouring columns' scales and bias.
  struct Scaled {
    float scale[kChunk], bias[kChunk];
    __device__ Scaled(const Params& p, int column) {
      load_chunk<true>(p.w_scale + column, p.w_scale != nullptr ? kChunk : 0, scale);
      load_chunk<true>(static_cast<const bf16*>(p.bias) + column, p.bias != nullptr ? kChunk : 0,
                       bias);
      if (p.w_scale != nullptr) return;
#pragma unroll
      for (float& x : scale) x = 1;
    }
    __device__ float operator()(float sum, float x_scale, int i) const {
      return fmaf(scale[i], x_scale * sum, bias[i]);
    }
  };

  __device__ void store(void* part, int row, int column, const float (&v)[kChunk]) const {
    store_chunk<true>(v, kChunk, static_cast<bf16*>(part) + row * p_.out_stride + column);
  }

  // As qk_norm_rope() and encode_int8() do; the latter does not round in between.
  __device__ void norm_and_rotate(const Thread& at, const float (&inverse)[kRows], bool coded,
                                  Head (&heads)[kRows]) const {
#pragma unroll
    for (int g = 0; g < kHeadChunks; ++g) {
      float weight[kChunk];
      load_chunk<true>(static_cast<const bf16*>(at.is_k ? p_.k_weight : p_.q_weight) + at.column(g),
                       kChunk, weight);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int row = at.row_of_picture + at.row(r);
        float angles[kChunk];
        load_chunk<true>(p_.rope + int64_t{row} * kQkvDim + at.column(g),
                         row < p_.rows_of_picture ? kChunk : 0, angles);
        float(&v)[kChunk] = heads[r][g];
#pragma unroll
        for (int i = 0; i < kChunk; ++i) v[i] *= inverse[r] * weight[i];
        if (!coded) unpack_bf16(packed_bf16(v), v);
#pragma unroll
        for (int i = 0; i < kChunk; i += 2) rotate(v[i], v[i + 1], angles[i], angles[i + 1]);
      }
    }
  }

  __device__ void encode(const Thread& at, const bool (&exists)[kRows], uint32_t (&largest)[kWarps],
                         Head (&heads)[kRows]) const {
    const int64_t tile = (int64_t{at.picture} * p_.heads + at.head) * p_.tiles + p_.first_tile +
                         at.row_of_picture / kQkvTileRows;
    uint32_t most[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      transform(heads[r], at.quarter);
      most[r] = largest_of_four(exists[r] ? magnitude_bits(heads[r]) : 0);
    }
    float scale[kRows];
    if (at.is_k) {
      const uint32_t of_warp =
          __reduce_max_sync(kWholeWarp, max(max(most[0], most[1]), max(most[2], most[3])));
      if (at.thread % 32 == 0) largest[at.thread / 32] = of_warp;
      cutlass::arch::NamedBarrier::sync(kGroupThreads,
                                        cutlass::arch::ReservedNamedBarriers::EpilogueBarrier);
      const uint32_t all = max(max(largest[0], largest[1]), max(largest[2], largest[3]));
#pragma unroll
      for (float& x : scale) x = scale_for(__uint_as_float(all) * kHadamardNorm);
      if (at.thread == 0) p_.k_scale[tile] = scale[0];
    } else {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        scale[r] = scale_for(__uint_as_float(most[r]) * kHadamardNorm);
        if (at.quarter == 0) p_.q_scale[tile * kQkvTileRows + at.row(r)] = scale[r] * p_.q_factor;
      }
    }
    int8_t* const codes = (at.is_k ? p_.k_codes : p_.q_codes) + tile * kQkvTileRows * kQkvDim;
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      store_codes(heads[r], __fdividef(kHadamardNorm, scale[r]), at.row(r), at.quarter, codes);
  }

  Params p_;
};

/// Element is a code's type or bf16, Sum that of the products' sums.
template <typename Element, typename Sum, typename Schedule>
struct Kernel {
  using Epilogue =
      cutlass::epilogue::collective::detail::Sm90TmaWarpSpecializedAdapter<Ending<Sum>>;
  static constexpr int kVector = 16 / sizeof(Element), kDepth = 128 / sizeof(Element);
  using Mainloop = typename cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Element, cutlass::layout::RowMajor,
      kVector, Element, cutlass::layout::ColumnMajor, kVector, Sum,
      cute::Shape<cute::Int<kQkvTileRows>, cute::Int<kQkvTileColumns>, cute::Int<kDepth>>,
      cute::Shape<cute::_1, cute::_1, cute::_1>,
      cutlass::gemm::collective::StageCountAutoCarveout<static_cast<int>(
          sizeof(typename Epilogue::SharedStorage))>,
      Schedule>::CollectiveOp;
  using Gemm = cutlass::gemm::device::GemmUniversalAdapter<cutlass::gemm::kernel::GemmUniversal<
      cute::Shape<int, int, int, int>, Mainloop, Epilogue, cutlass::gemm::PersistentScheduler>>;

  static const char* run(const QkvProduct& p) {
    typename Gemm::Arguments arguments{};
    arguments.mode = cutlass::gemm::GemmUniversalMode::kGemm;
    arguments.problem_shape = {p.m, 3 * p.heads * kQkvDim, p.depth, 1};
    arguments.mainloop.ptr_A = static_cast<const Element*>(p.x);
    arguments.mainloop.dA = {p.x_stride, cute::_1{}, 0};
    arguments.mainloop.ptr_B = static_cast<const Element*>(p.w);
    arguments.mainloop.dB = {p.w_stride, cute::_1{}, 0};
    arguments.epilogue = p;
    arguments.hw_info.device_id = 0;
    arguments.hw_info.sm_count = p.multiprocessors;
    arguments.scheduler.max_swizzle_size =
        rows_of_tiles_at_once(p.m, 3 * p.heads * kQkvDim, int64_t{p.depth} * sizeof(Element),
                              kQkvTileRows, kQkvTileColumns);
    cutlass::Status status = Gemm::can_implement(arguments);
    if (status != cutlass::Status::kSuccess) return cutlassGetStatusString(status);
    Gemm gemm;
    status = gemm.initialize(arguments, nullptr, p.stream);
    if (status == cutlass::Status::kSuccess) status = gemm.run(p.stream);
    return status == cutlass::Status::kSuccess ? nullptr : cutlassGetStatusString(status);
  }
};

}  // namespace fluxq::cuda::qkv
