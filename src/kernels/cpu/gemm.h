/// Matrix products of the CPU: the one place that calls oneDNN's matmul. Schemes build their
/// `matmul` on it.
///
/// oneDNN primitives run single-threaded on tiles of fixed size that the pool hands out; a row's
/// bytes depend on that row and the weight only, never on its neighbours, its place in a tile, or
/// the number of threads.
#pragma once

#include <memory>

#include "kernels/cpu/cpu_kernels.h"

namespace fluxq {

/// What is multiplied: f32 x f32 -> f32; bf16 x bf16 -> f32 (widened to f32 where the processor has
/// no bf16 dot products: same value up to summation order); s8 x s8 -> s32, exact on every
/// processor.
enum class GemmType : uint8_t { f32, bf16, s8 };

/// A weight [out, in] arranged in panels for this processor.
class GemmWeight {
 public:
  virtual ~GemmWeight() = default;
  GemmType type = GemmType::f32;
  int64_t out = 0, in = 0;
  int64_t bytes = 0;  ///< resident
};

/// GemmWeight::bytes of a weight [out, in] here.
int64_t arranged_bytes(GemmType type, int64_t out, int64_t in);

/// `weight`: host matrix [out, in] of f32, bf16 or i8 as `type` says (a window into a wider matrix
/// is fine).
std::shared_ptr<GemmWeight> arrange_weight(CpuKernels& kernels, GemmType type, const Rows& weight);

/// out = epilogue(row_scale[batch * rows] * col_scale[out] * (a [batch, rows, in] weight^T)),
/// either scale nullptr = 1. `a` has the weight's type; out and the epilogue's operands f32 or
/// bf16.
void gemm(CpuKernels& kernels, const Rows& a, const GemmWeight& weight, const float* row_scale,
          const float* col_scale, const Epilogue& epilogue, const Rows& out);

/// The name of the kernel that runs `type` here, for coverage: "oneDNN bf16 (avx512_core_bf16)".
std::string gemm_kernel_name(GemmType type);

}  // namespace fluxq
