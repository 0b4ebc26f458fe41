/// The CPU side that schemes share: a packed weight is expanded to a type that the CPU's matrix
/// product knows (f32, bf16 or s8), arranged once, and its scales are applied after the product. A
/// scheme adds how its parts expand and how an input is quantized.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/gemm.h"
#include "quant/scheme.h"

namespace fluxq {

class CpuGemmScheme : public SchemeKernels {
 public:
  /// Error(internal) if `kernels` are not the CPU's.
  CpuGemmScheme(Kernels& kernels, GemmType type);

  std::string kernel_name() const override { return gemm_kernel_name(type_); }
  FusedParts fused() const override { return {true, true, true, true}; }
  std::shared_ptr<DeviceWeight> load(const PackedWeight& weight, int64_t in_begin,
                                     int64_t in_count) override;
  void matmul(const Prepared& input, const DeviceWeight& weight, const Epilogue& epilogue,
              const Rows& out) override;
  /// codes * scale, in f32.
  std::vector<float> dequantize(const Prepared& input) override;

 protected:
  /// W = diag(scale) * values.
  struct Expanded {
    Tensor values;             ///< [out, in] of the gemm's type
    std::vector<float> scale;  ///< [out], or empty for ones
  };
  virtual Expanded expand(const PackedWeight& weight) const = 0;

  CpuKernels& kernels_;

 private:
  GemmType type_;
};

/// prepare() of a scheme that does not quantize its input: the producer's value in `stream`, or the
/// producer's own tensor when it is nothing more.
Prepared prepare_as_is(CpuKernels& kernels, const Producer& input, DType stream);

/// The producer's value rounded to bf16, [batch, rows, cols], in scratch memory of the caller's
/// scope.
Rows produce_bf16(CpuKernels& kernels, const Producer& input);

/// Calls body(batch, row) for every row of `rows`, on all threads.
void for_each_row(CpuKernels& kernels, const Rows& rows,
                  const std::function<void(int64_t batch, int64_t row)>& body);

/// prepare() of a scheme with one scale per token: quantize(values, cols, codes) returns the scale.
using TokenQuantizer = float (*)(const bf16* values, int64_t cols, void* codes);
Prepared prepare_per_token(CpuKernels& kernels, const Producer& input, DType codes,
                           TokenQuantizer quantize);

}  // namespace fluxq
