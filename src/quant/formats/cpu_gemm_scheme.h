/// The CPU side that schemes share: a packed weight is expanded to a type that the CPU's matrix
/// product knows (f32, bf16 or s8), arranged once, and its scales are applied after the product. A
/// scheme adds how its parts expand and how an input is quantized.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/row_values.h"
#include "kernels/cpu/scratch.h"
#include "quant/formats/prepared.h"
#include "quant/scheme.h"

namespace fluxq {

/// What an expanded weight keeps beside its values: nothing, or one f32 for each output channel.
enum class WeightScale : uint8_t { none, per_channel };

class CpuGemmScheme : public SchemeKernels {
 public:
  /// Error(internal) if `kernels` are not the CPU's.
  CpuGemmScheme(Kernels& kernels, GemmType type, WeightScale scale);

  std::string kernel_name() const override { return gemm_kernel_name(type_); }
  FusedParts fused() const override { return {true, true, true, true}; }
  int64_t loaded_bytes(int64_t out, std::span<const int64_t> columns,
                       int64_t packed_bytes) const override;
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
    std::vector<float> scale;  ///< [out], or empty for ones: as WeightScale says
  };
  virtual Expanded expand(const PackedWeight& weight) const = 0;

  CpuKernels& kernels_;

 private:
  GemmType type_;
  WeightScale scale_;
};

/// prepare() of a scheme with one scale per token: quantize(x, count, codes) fills a row's codes
/// from floats that hold bf16 values and returns its scale. Rows go from the producer to their
/// codes without a tensor between.
template <typename Code>
Prepared prepare_per_token(CpuKernels& kernels, const Producer& input,
                           float (*quantize)(const float*, int64_t, Code*)) {
  const Rows& x = input.x;
  Prepared prepared;
  prepared.codes = kernels.arena().take(kDTypeOf<Code>, {x.batch, x.rows, x.cols});
  prepared.scale = kernels.arena().take(DType::f32, {x.batch * x.rows});
  float* scale = prepared.scale.data<float>();
  Arena::Scope scope(kernels.arena());
  const cpu::RowProducer producer(kernels, input);
  const cpu::ThreadScratch buffer(kernels, x.cols * 4);
  cpu::for_each_row(kernels.pool(), x.batch, x.rows, x.cols,
                    [&](int64_t batch, int64_t row, int worker) {
                      auto* values = buffer.of<float>(worker);
                      producer.row(batch, row, values);
                      scale[batch * x.rows + row] =
                          quantize(values, x.cols, prepared.codes.row<Code>(batch, row));
                    });
  return prepared;
}

}  // namespace fluxq
