/// The kernels of gemm_qkv.h: CUTLASS's Hopper kernel, in which two groups of warps have a tile
/// each, with the ending of gemm_qkv_ending.cuh. One in each .cu (gemm_s8.cuh says why).
#pragma once

#include <cutlass/cutlass.h>
#include <cutlass/gemm/device/gemm_universal_adapter.h>
#include <cute/tensor.hpp>
#include <cutlass/epilogue/collective/detail.hpp>
#include <cutlass/epilogue/dispatch_policy.hpp>
#include <cutlass/gemm/collective/collective_builder.hpp>
#include <cutlass/gemm/kernel/gemm_universal.hpp>

#include "kernels/cuda/gemm_qkv_ending.cuh"
#include "kernels/cuda/gemm_tiles.h"

namespace fluxq::cuda::qkv {

/// What CUTLASS asks of an ending that does without its own parts.
struct Plain {
  using EpilogueSchedule = cutlass::epilogue::NoSmemWarpSpecialized;
  using DispatchPolicy = EpilogueSchedule;
  using ElementCompute = float;
  using ElementOutput = cutlass::bfloat16_t;
  using ElementC = cutlass::bfloat16_t;
  using ElementD = cutlass::bfloat16_t;
  using StrideC = cute::Stride<int64_t, cute::Int<1>, int64_t>;
  using StrideD = StrideC;
  struct ThreadEpilogueOp {
    using ElementOutput = cutlass::bfloat16_t;
    static constexpr int kCount = kChunk;
  };
  using SharedStorage = Shared;
  using Arguments = QkvProduct;
  using Params = QkvProduct;
  Params params;

  CUTLASS_HOST_DEVICE explicit Plain(const Params& product) : params(product) {}
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
};

/// The ending as CUTLASS calls it: load() by a warp of its own, store() by the groups in turns.
template <typename Sum>
struct Collective : cutlass::epilogue::collective::detail::Sm90TmaWarpSpecializedAdapter<Plain> {
  using Base = cutlass::epilogue::collective::detail::Sm90TmaWarpSpecializedAdapter<Plain>;
  using Base::Base;
  using ElementAccumulator = Sum;
  using LoadPipeline = cutlass::PipelineTransactionAsync<1>;
  using LoadPipelineState = cutlass::PipelineState<1>;
  using PipelineStorage = typename LoadPipeline::SharedStorage;
  using TensorStorage = Shared;
  struct SharedStorage {
    TensorStorage tensors;
    PipelineStorage pipeline;
  };

  CUTLASS_DEVICE bool is_producer_load_needed() const { return true; }

  template <typename Problem, typename Shape, typename Place, typename Mma>
  CUTLASS_DEVICE LoadPipelineState load(LoadPipeline pipeline, LoadPipelineState state,
                                        const Problem&, const Shape&, const Place& place,
                                        const Mma&, int, TensorStorage& shared) {
    pipeline.producer_acquire(state);
    const Tile tile(this->params, cute::get<0>(place), cute::get<1>(place));
    load_constants(this->params, tile, shared.constants,
                   *reinterpret_cast<hopper::Barrier*>(pipeline.producer_get_barrier(state)));
    pipeline.producer_commit(state);
    ++state;
    return state;
  }
  CUTLASS_DEVICE LoadPipelineState load_tail(LoadPipeline pipeline, LoadPipelineState state) {
    pipeline.producer_tail(state);
    return state;
  }

  template <typename Problem, typename Shape, typename Place, typename Engine, typename Layout,
            typename Mma, typename Store, typename StoreState>
  CUTLASS_DEVICE auto store(LoadPipeline pipeline, LoadPipelineState state, const Store&,
                            StoreState store_state, const Problem&, const Shape&,
                            const Place& place, const cute::Tensor<Engine, Layout>& sums,
                            const Mma&, int thread, TensorStorage& shared) {
    // Two columns of each of two rows, 24 groups of 8 columns, two groups of 64 rows.
    static_assert(decltype(cute::size(sums))::value == kRows * kChunks * kChunk);
    static_assert(decltype(cute::size<1>(sums))::value == 2);
    const auto sum = [&sums](int r, int g, int i) {
      return static_cast<float>(
          sums(i % 2 + 2 * (r % 2) + 4 * (4 * g + i / 2) + r / 2 * (kQkvTileColumns / 2)));
    };
    const QkvProduct& p = this->params;
    const Tile tile(p, cute::get<0>(place), cute::get<1>(place));
    // What follows from the thread's number is not kept from one tile to the next, either.
    asm volatile("" : "+r"(thread));
    const Ending ending(p, tile, shared, thread);
    pipeline.consumer_wait(state);
    if (p.v_codes == nullptr)
      ending.write_values(sum);
    else
      ending.write_value_codes(sum);
    Head heads[kRows];
    if (p.q_codes == nullptr) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        ending.template norm_and_rotate<true>(sum, r, heads[r]);
        ending.write_head(r, heads[r]);
      }
      pipeline.consumer_release(state);
    } else {
#pragma unroll
      for (int r = 0; r < kRows; ++r) ending.template norm_and_rotate<false>(sum, r, heads[r]);
      pipeline.consumer_release(state);
      ending.write_codes(heads);
    }
    ++state;
    return cute::make_tuple(state, store_state);
  }
  template <typename StorePipeline, typename StoreState>
  CUTLASS_DEVICE auto store_tail(LoadPipeline, LoadPipelineState state, const StorePipeline&,
                                 StoreState store_state) {
    return cute::make_tuple(state, store_state);
  }
};

/// Element is a code's type, Sum that of the products' sums.
template <typename Element, typename Sum, typename Schedule>
struct Kernel {
  using Epilogue = Collective<Sum>;
  static constexpr int kVector = 16, kDepth = 128;  // codes: of a load, of a stage
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
        rows_of_tiles_at_once(p.m, 3 * p.heads * kQkvDim, p.depth, kQkvTileRows, kQkvTileColumns);
    cutlass::Status status = Gemm::can_implement(arguments);
    if (status != cutlass::Status::kSuccess) return cutlassGetStatusString(status);
    Gemm gemm;
    status = gemm.initialize(arguments, nullptr, p.stream);
    if (status == cutlass::Status::kSuccess) status = gemm.run(p.stream);
    return status == cutlass::Status::kSuccess ? nullptr : cutlassGetStatusString(status);
  }
};

}  // namespace fluxq::cuda::qkv
