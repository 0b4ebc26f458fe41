/// Matrix products on the GPU through cuBLASLt. An algorithm is looked up once per shape: the first
/// of the library's own ranking that runs and adds in an order of its own, so that bytes depend on
/// the shape and not on the run.
#pragma once

#include <cublasLt.h>

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/cuda/cuda_kernels.h"

namespace fluxq {

class CudaBlas {
 public:
  explicit CudaBlas(CudaKernels& kernels);
  ~CudaBlas();
  CudaBlas(const CudaBlas&) = delete;
  CudaBlas& operator=(const CudaBlas&) = delete;

  /// How the sums of codes become numbers: device pointers, or null for one.
  struct Scales {
    enum class Kind : uint8_t {
      none,
      scalar,   ///< x[0] * w[0]
      vectors,  ///< x[row of x] * w[row of w], e4m3 only
    };
    Kind kind = Kind::none;
    const float* x = nullptr;
    const float* w = nullptr;
  };

  /// What the library fuses: out = act(scaled sum + bias) or out = scaled sum + bias + residual.
  struct Ending {
    const void* bias = nullptr;  ///< [out], the type of `out`
    bool gelu_tanh = false;      ///< not together with a residual
    Rows residual{};             ///< [1, rows, out], the type of `out`; may be `out`; or empty
  };

  /// out [1, rows, out] = ending(scales * x [1, rows, in] w [1, out, in]^T): f32 x f32 -> f32
  /// (never TF32), bf16 x bf16 -> bf16 or f32, e4m3 x e4m3 -> bf16. False, with nothing done, where
  /// the library has no algorithm for it (odd sizes, rows or scales not aligned to 16 bytes).
  bool multiply(const Rows& x, const Rows& w, const Scales& scales, const Ending& ending,
                const Rows& out);

  /// One matrix for each head and picture: element (i, j) of head h of picture b is
  /// data[b * batch_stride + h * head_stride + i * row_stride + j].
  struct Heads {
    void* data = nullptr;
    DType dtype = DType::f32;
    int64_t row_stride = 0, head_stride = 0, batch_stride = 0;
  };

  /// out [m, n] = alpha * a [m, k] b for each head and picture, with b stored as [n, k] (`b_is_nk`:
  /// q k^T) or as [k, n] (weights x values). a, b: both f32 or both bf16; out: f32, or bf16 for
  /// bf16 inputs. Any sizes and strides. A picture's bytes do not depend on the batch.
  void matmul_batched(const Heads& a, const Heads& b, bool b_is_nk, const Heads& out, int64_t m,
                      int64_t n, int64_t k, int64_t heads, int64_t batch, float alpha);

  /// Everything that decides which algorithms can run, but for the pointers.
  struct Shape {
    int64_t m = 0, n = 0, k = 0;                 ///< rows of out, columns of out, sum
    int64_t lda = 0, ldb = 0, ldc = 0, ldd = 0;  ///< row strides: x, w, residual, out
    int64_t heads = 1, stride_a = 0, stride_b = 0, stride_d = 0;
    DType in = DType::bf16, out = DType::bf16;
    Scales::Kind scales = Scales::Kind::none;
    bool bias = false, gelu = false, residual = false, b_is_nk = true;
    int alignment = 16;  ///< bytes that all pointers and rows are aligned to
    auto operator<=>(const Shape&) const = default;
  };

  /// Uses the `rank`-th of the library's algorithms for a shape from now on, in place of the first:
  /// where a tuner puts what it found. False if there are not as many.
  bool choose(const Shape& shape, int rank);
  /// The shape of the latest multiply().
  const Shape& latest() const { return latest_; }

 private:
  struct Plan;
  using Algorithm = cublasLtMatmulHeuristicResult_t;  // with the size of its workspace
  std::vector<Algorithm> offers(const Plan& plan, int alignment, uint32_t splits);
  bool accepts(const Plan& plan, Algorithm& algorithm);
  bool unsplit(const Plan& plan, Algorithm& algorithm);
  Plan* plan(const Shape& shape);
  bool run(Plan& plan, const void* x, const void* w, const Scales& scales, const void* bias,
           const void* residual, void* out, float alpha);

  CudaKernels& kernels_;
  cublasLtHandle_t handle_ = nullptr;
  Shape latest_;
  std::map<Shape, std::unique_ptr<Plan>> plans_;  // null: the library cannot
};

}  // namespace fluxq
