/// CUTLASS's Hopper kernel for int8 with our epilogues. Each instantiation takes CUTLASS a minute
/// and gigabytes to compile: one in each .cu.
#pragma once

#include <cutlass/cutlass.h>
#include <cutlass/gemm/device/gemm_universal_adapter.h>
#include <cute/tensor.hpp>
#include <cutlass/epilogue/collective/collective_builder.hpp>
#include <cutlass/epilogue/fusion/sm90_callbacks_tma_warpspecialized.hpp>
#include <cutlass/gemm/collective/collective_builder.hpp>
#include <cutlass/gemm/kernel/gemm_universal.hpp>

#include <algorithm>

#include "kernels/cuda/gemm_s8_kernels.h"
#include "kernels/cuda/gemm_tiles.h"

namespace fluxq::cuda::s8 {

namespace fusion = cutlass::epilogue::fusion;
using cute::_1;
using cute::Int;
using Bf16 = cutlass::bfloat16_t;
constexpr auto kNearest = cutlass::FloatRoundStyle::round_to_nearest;

/// v / (1 + exp(-2 u)) = v (1 + tanh u) / 2, which does not cancel for negative v. Instructions
/// count here: those that flush subnormals, which 1 + exp never is, need no care for their range.
template <typename T>
struct GeluTanh;
template <>
struct GeluTanh<float> {
  CUTLASS_DEVICE float operator()(float v) const {
    constexpr float kScale = -2.30220820f, kCubic = 0.044715f;  // -2 sqrt(2 / pi) log2(e)
    const float exponent = v * (kScale + kScale * kCubic * (v * v));
    float exp, inverse;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(exp) : "f"(exponent));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(1.0f + exp));
    return v * inverse;
  }
};
template <int N>
struct GeluTanh<cutlass::Array<float, N>> {
  CUTLASS_DEVICE cutlass::Array<float, N> operator()(const cutlass::Array<float, N>& v) const {
    cutlass::Array<float, N> result;
    CUTLASS_PRAGMA_UNROLL
    for (int i = 0; i < N; ++i) result[i] = GeluTanh<float>{}(v[i]);
    return result;
  }
};

// ---- epilogues. A dense kernel computes y [tokens, features]; only a kernel's first operand can
// be sparse, so a sparse one computes y^T, and what varies along its rows and columns trades
// places.

template <bool kTransposed, typename Tile>
using PerToken = std::conditional_t<kTransposed, fusion::Sm90RowBroadcast<0, Tile, float>,
                                    fusion::Sm90ColBroadcast<0, Tile, float>>;
template <bool kTransposed, typename Tile, typename T>
using PerFeature = std::conditional_t<kTransposed, fusion::Sm90ColBroadcast<0, Tile, T, float>,
                                      fusion::Sm90RowBroadcast<0, Tile, T, float>>;

template <template <class> class Function, typename Out, typename... Children>
using Compute = fusion::Sm90EVT<fusion::Sm90Compute<Function, Out, float, kNearest>, Children...>;

/// w_scale * (x_scale * sum) + bias, as Out.
template <bool kTransposed, typename Tile, typename Out>
using Scaled =
    Compute<cutlass::homogeneous_multiply_add, Out, PerFeature<kTransposed, Tile, float>,
            Compute<cutlass::multiplies, float, PerToken<kTransposed, Tile>, fusion::Sm90AccFetch>,
            PerFeature<kTransposed, Tile, Bf16>>;

// Arguments stand as children do, the node's own last; a broadcast's are its pointer and what
// stands for null.
struct WithBias {
  using Source = void;
  template <bool kTransposed, typename Tile>
  using Tree = Scaled<kTransposed, Tile, Bf16>;
  template <typename Arguments>
  static Arguments arguments(const S8Product& p) {
    return {{p.w_scale}, {{p.x_scale}, {}, {}}, {static_cast<const Bf16*>(p.bias)}, {}};
  }
};

struct WithGelu {
  using Source = void;
  template <bool kTransposed, typename Tile>
  using Tree = Compute<GeluTanh, Bf16, Scaled<kTransposed, Tile, float>>;
  template <typename Arguments>
  static Arguments arguments(const S8Product& p) {
    return {{{p.w_scale}, {{p.x_scale}, {}, {}}, {static_cast<const Bf16*>(p.bias)}, {}}, {}};
  }
};

/// gate * (...) + residual
struct WithResidual {
  using Source = Bf16;
  template <bool kTransposed, typename Tile>
  using Tree = Compute<cutlass::homogeneous_multiply_add, Bf16, PerFeature<kTransposed, Tile, Bf16>,
                       Scaled<kTransposed, Tile, float>, fusion::Sm90SrcFetch<Bf16>>;
  template <typename Arguments>
  static Arguments arguments(const S8Product& p) {
    return {{static_cast<const Bf16*>(p.gate), Bf16(1.0f)},
            {{p.w_scale}, {{p.x_scale}, {}, {}}, {static_cast<const Bf16*>(p.bias)}, {}},
            {},
            {}};
  }
};

// ---- kernels

/// Two groups of warps work on one tile, or on a tile each (of half the size at most: registers).
struct Cooperative {
  /// Where the last round of tiles would leave most multiprocessors idle, the last two are split
  /// evenly along k, also within tiles. The sums are exact, so that changes no byte.
  using Tiles = cutlass::gemm::StreamKScheduler;
  using Mainloop = cutlass::gemm::KernelTmaWarpSpecializedCooperative;
  using Epilogue = cutlass::epilogue::TmaWarpSpecializedCooperative;
};
struct Pingpong {
  using Tiles = cutlass::gemm::PersistentScheduler;
  using Mainloop = cutlass::gemm::KernelTmaWarpSpecializedPingpong;
  using Epilogue = cutlass::epilogue::TmaWarpSpecialized;
};

template <typename Ending, bool kSparse, typename Tile, typename Cluster, typename Schedule>
struct Kernel {
  using Operator = std::conditional_t<kSparse, cutlass::arch::OpClassSparseTensorOp,
                                      cutlass::arch::OpClassTensorOp>;
  using Layout =
      std::conditional_t<kSparse, cutlass::layout::ColumnMajor, cutlass::layout::RowMajor>;
  static constexpr int kCodes = 16, kResults = 8;  // in 16 bytes
  using Epilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
      cutlass::arch::Sm90, Operator, Tile, Cluster, cutlass::epilogue::collective::EpilogueTileAuto,
      int32_t, float, typename Ending::Source, Layout, kResults, Bf16, Layout, kResults,
      typename Schedule::Epilogue, typename Ending::template Tree<kSparse, Tile>>::CollectiveOp;
  using Mainloop = typename cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm90, Operator, int8_t, cutlass::layout::RowMajor, kCodes, int8_t,
      cutlass::layout::ColumnMajor, kCodes, int32_t, Tile, Cluster,
      cutlass::gemm::collective::StageCountAutoCarveout<static_cast<int>(
          sizeof(typename Epilogue::SharedStorage))>,
      typename Schedule::Mainloop>::CollectiveOp;
  using Gemm = cutlass::gemm::device::GemmUniversalAdapter<cutlass::gemm::kernel::GemmUniversal<
      cute::Shape<int, int, int, int>, Mainloop, Epilogue, typename Schedule::Tiles>>;

  static typename Gemm::Arguments arguments(const S8Product& p) {
    typename Gemm::Arguments arguments{};
    arguments.mode = cutlass::gemm::GemmUniversalMode::kGemm;
    if constexpr (kSparse) {
      using Config = typename Mainloop::SparseConfig;
      // What SparseS8Weight says of the metadata: 16 bytes for 128 columns, 64 rows together.
      static_assert(Config::TensorEAtomM::value == 64 && Config::TensorEAtomK::value == 128);
      arguments.problem_shape = {p.n, p.m, p.k, 1};
      const auto shape = cute::make_shape(p.n, p.m, p.k, 1);
      arguments.mainloop = {p.w,        Config::fill_layoutA(shape), p.x, {p.x_stride, _1{}, 0},
                            p.metadata, Config::fill_layoutE(shape)};
      arguments.epilogue.dC = {_1{}, p.residual_stride, 0};
      arguments.epilogue.dD = {_1{}, p.out_stride, 0};
    } else {
      arguments.problem_shape = {p.m, p.n, p.k, 1};
      arguments.mainloop.ptr_A = p.x;
      arguments.mainloop.dA = {p.x_stride, _1{}, 0};
      arguments.mainloop.ptr_B = p.w;
      arguments.mainloop.dB = {p.w_stride, _1{}, 0};
      arguments.epilogue.dC = {p.residual_stride, _1{}, 0};
      arguments.epilogue.dD = {p.out_stride, _1{}, 0};
    }
    using Thread = decltype(arguments.epilogue.thread);
    arguments.epilogue.thread = Ending::template arguments<Thread>(p);
    if constexpr (!std::is_void_v<typename Ending::Source>)
      arguments.epilogue.ptr_C = static_cast<const Bf16*>(p.residual);
    arguments.epilogue.ptr_D = static_cast<Bf16*>(p.out);
    arguments.hw_info.device_id = 0;
    arguments.hw_info.sm_count = p.multiprocessors;
    // Sparse weights have half the bytes, and the other kernel's gates make single pictures of a
    // batch.
    if constexpr (!kSparse && std::is_same_v<Schedule, Pingpong>)
      arguments.scheduler.max_swizzle_size =
          rows_of_tiles_at_once(p.m, p.n, p.k, cute::size<0>(Tile{}), cute::size<1>(Tile{}));
    return arguments;
  }

  static const char* run(const S8Product& p) {
    const typename Gemm::Arguments arguments = Kernel::arguments(p);
    cutlass::Status status = Gemm::can_implement(arguments);
    if (status != cutlass::Status::kSuccess) return cutlassGetStatusString(status);
    Arena::Scope scope(*p.arena);
    const auto workspace_bytes = static_cast<int64_t>(Gemm::get_workspace_size(arguments));
    const Tensor workspace = p.arena->take(DType::u8, {std::max<int64_t>(1, workspace_bytes)});
    Gemm gemm;
    // Encodes the matrices' tensor maps.
    status = gemm.initialize(arguments, workspace.raw(), p.stream);
    if (status == cutlass::Status::kSuccess) status = gemm.run(p.stream);
    return status == cutlass::Status::kSuccess ? nullptr : cutlassGetStatusString(status);
  }
};

/// Each group has a tile of its own, so that one multiplies while the other scales and stores. 192
/// columns are what its registers hold. The clusters are those that measured best where the board's
/// power is the limit: a sparse kernel reads its second operand twice as fast, and shares it.
template <typename Ending, bool kSparse>
using Wide = Kernel<Ending, kSparse, cute::Shape<Int<128>, Int<192>, Int<128>>,
                    cute::Shape<Int<kSparse ? 2 : 1>, _1, _1>, Pingpong>;
/// With a residual to read, which leaves fewer registers.
template <typename Ending>
using Narrow = Kernel<Ending, false, cute::Shape<Int<128>, Int<kS8TileColumns>, Int<128>>,
                      cute::Shape<Int<2>, _1, _1>, Pingpong>;
/// For long sums, whose endings are a small part.
template <typename Ending, bool kSparse>
using Deep = Kernel<Ending, kSparse, cute::Shape<Int<128>, Int<kS8DeepTileColumns>, Int<128>>,
                    cute::Shape<Int<2>, _1, _1>, Cooperative>;

}  // namespace fluxq::cuda::s8
