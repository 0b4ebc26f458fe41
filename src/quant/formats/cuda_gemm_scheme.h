/// The GPU side that schemes share: weights stay as they are packed and are multiplied as they lie.
/// A scheme adds which product multiplies its codes and how an input is quantized.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda/cuda_kernels.h"
#include "quant/formats/prepared.h"
#include "quant/scheme.h"

namespace fluxq {

/// W = diag(scale) * codes.
struct CodesWeight final : DeviceWeight {
  Tensor memory;  ///< that the codes lie in, perhaps with columns of another weight between
  Rows codes;     ///< [1, out, in]
  Tensor scale;   ///< f32 [out], or [1] for all, or empty for ones
  /// If not 0, the codes' rows are arranged for the products of so many heads' q, k and v
  /// (kernels/cuda/gemm_qkv.h), and there is no other product of them. `scale` is as ever.
  int64_t heads = 0;
};

class CudaGemmScheme : public SchemeKernels {
 public:
  /// Error(internal) if `kernels` are not the GPU's.
  explicit CudaGemmScheme(Kernels& kernels) : kernels_(cuda_of(kernels)) {}

  /// A CodesWeight of the first part and, if there is one, the second: codes and scale.
  std::shared_ptr<DeviceWeight> load(const PackedWeight& weight, int64_t in_begin,
                                     int64_t in_count) override;
  /// Of such weights.
  std::shared_ptr<DeviceWeight> join(
      std::span<const std::shared_ptr<DeviceWeight>> weights) override;
  std::vector<float> dequantize(const Prepared& input) override;

 protected:
  /// join() but for the codes, whose memory is not written yet.
  std::shared_ptr<CodesWeight> join_scales(std::span<const std::shared_ptr<DeviceWeight>> weights);
  /// New parts on the device for a weight of `scheme`, of the shape of `weight`.
  PackedWeight new_parts(const Scheme& scheme, const Tensor& weight);
  /// The parts of a scheme that keeps weights in the stream's dtype: the weight itself, checked.
  PackedWeight pack_as_is(const Tensor& weight, std::string_view name);
  /// The parts of a scheme of s8 weights (s8_weight.h).
  PackedWeight pack_s8(const Scheme& scheme, const Tensor& weight, std::string_view name);
  /// Memory for a quantized input, of the arena.
  Prepared new_codes(DType dtype, const Rows& x, int64_t scales);

  CudaKernels& kernels_;
};

/// What schemes share whose codes products with QK-norm and rope in their endings multiply.
class CudaQkvScheme : public CudaGemmScheme {
 public:
  using CudaGemmScheme::CudaGemmScheme;
  /// Arranged for those products if they take them: heads of 128 columns.
  std::shared_ptr<DeviceWeight> join_heads(std::span<const std::shared_ptr<DeviceWeight>> weights,
                                           int64_t heads) override;
  FusedParts fused() const final { return {true, true, true, true, true}; }
  FusedParts fused(const Epilogue& wanted) const final {
    FusedParts parts = fused_by_multiply(wanted);
    parts.heads = true;
    return parts;
  }
  void matmul(const Prepared& input, const DeviceWeight& weight, const Epilogue& epilogue,
              const Rows& out) final;

 protected:
  /// matmul() of a weight that is not arranged, and what it fuses.
  virtual void multiply(const Prepared& input, const CodesWeight& weight, const Epilogue& epilogue,
                        const Rows& out) = 0;
  virtual FusedParts fused_by_multiply(const Epilogue& wanted) const = 0;
};

/// The columns [begin, begin + count) of a part [rows, cols] on the device: a window of it, kept
/// alive by `memory`, or a copy if it lies on the host.
Rows columns_on_device(CudaKernels& kernels, const Tensor& part, int64_t begin, int64_t count,
                       Tensor& memory);
/// A part on the device: itself, or a copy if it lies on the host.
Tensor on_device(CudaKernels& kernels, const Tensor& part);
/// Copies rows of one size and dtype, either of them on the host or the device.
void copy_rows(CudaKernels& kernels, const Rows& from, const Rows& to);

/// One matrix of an epilogue's operands.
Epilogue item_of(Epilogue epilogue, int64_t index);

/// out = epilogue(x w^T) of f32 or bf16 numbers, each matrix of the batch by itself; the parts of
/// the epilogue that such a product fuses.
void multiply_as_is(CudaKernels& kernels, const Rows& x, const Rows& w, const Epilogue& epilogue,
                    const Rows& out);
FusedParts fused_as_is(DType stream, const Epilogue& wanted);

/// The same for e4m3 codes with scales: `input.scale` one per row or one per matrix.
void multiply_e4m3(CudaKernels& kernels, const Prepared& input, const CodesWeight& weight,
                   const Epilogue& epilogue, const Rows& out);
FusedParts fused_e4m3(const Epilogue& wanted);
/// Sums of e4m3 products keep fewer bits than f32 on Hopper (13 after the leading one). cuBLASLt
/// applies the weight's scale to a sum of codes first: n * 448 times the largest weight must stay
/// below 2^128, here for sums of up to 2^23 terms.
inline constexpr KernelRounding kRoundingE4m3 = {
    .sum = 0x1p-13, .gated_bias = 0x1p-9, .largest_weight = 0x1p96};

/// What schemes of e4m3 codes share: all but how their scales come about.
class CudaE4m3Scheme : public CudaQkvScheme {
 public:
  using CudaQkvScheme::CudaQkvScheme;
  std::string kernel_name() const override { return "cuBLASLt e4m3 (q, k, v: CUTLASS)"; }
  KernelRounding rounding() const override { return kRoundingE4m3; }

 protected:
  void multiply(const Prepared& input, const CodesWeight& weight, const Epilogue& epilogue,
                const Rows& out) override {
    multiply_e4m3(kernels_, input, weight, epilogue, out);
  }
  FusedParts fused_by_multiply(const Epilogue& wanted) const override { return fused_e4m3(wanted); }
};

/// The same for 8-bit integers with one scale per row of either.
void multiply_s8(CudaKernels& kernels, const Prepared& input, const CodesWeight& weight,
                 const Epilogue& epilogue, const Rows& out);
FusedParts fused_s8(const Epilogue& wanted);

}  // namespace fluxq
