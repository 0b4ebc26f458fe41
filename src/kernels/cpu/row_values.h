/// Rows as floats: what every operation of the CPU does between reading and rounding, shared by the
/// row operations, the matrix product's ending and the schemes' quantization of their inputs.
#pragma once

#include "kernels/cpu/cpu_kernels.h"

namespace fluxq::cpu {

/// out[i] = values[i] widened; `dtype` f32 or bf16.
void widen(const void* values, DType dtype, int64_t count, float* out);
/// out[i] = values[i] rounded to `dtype`, f32 or bf16.
void narrow(const float* values, int64_t count, DType dtype, void* out);
/// values[i] = act(values[i]).
void activate(Act act, float* values, int64_t count);

/// The values as floats: themselves when they are f32, else widened into `buffer`.
inline const float* as_floats(const void* values, DType dtype, int64_t count, float* buffer) {
  if (dtype == DType::f32) return static_cast<const float*>(values);
  widen(values, dtype, count, buffer);
  return buffer;
}

/// Calls body(batch_index, row_index, worker) for every row of a [batch, rows, cols], several to a
/// piece of work.
template <typename Body>
void for_each_row(ThreadPool& pool, int64_t batch, int64_t rows, int64_t cols, const Body& body) {
  constexpr int64_t kElementsPerPiece = 8192;  // some microseconds of work
  const int64_t all = batch * rows;
  const int64_t per_piece = std::max<int64_t>(1, kElementsPerPiece / std::max<int64_t>(1, cols));
  pool.parallel_for((all + per_piece - 1) / per_piece, [&](int64_t piece, int worker) {
    const int64_t end = std::min(all, (piece + 1) * per_piece);
    for (int64_t row = piece * per_piece; row < end; ++row) body(row / rows, row % rows, worker);
  });
}

/// A producer's rows, one at a time, from any thread: the float values of kernels.h's `produce`
/// before conversion to an output's dtype. Its tables live in the arena: keep a Scope around it.
class RowProducer {
 public:
  RowProducer(CpuKernels& kernels, const Producer& producer);
  /// out[cols] = row `row` of matrix `batch`, values that x's dtype holds. `out` may not be x.
  void row(int64_t batch, int64_t row, float* out) const;
  /// The same, converted to out's dtype in its own place of `out`; buffer [cols].
  void row_to(int64_t batch, int64_t row, float* buffer, const Rows& out) const;

 private:
  void before_rounding(int64_t batch, int64_t row, float* out) const;

  const Producer producer_;
  // Norms end in value * factor + term: the layer's weight and bias, or 1 + scale and shift, per
  // matrix of the batch when given so.
  Tensor factors_, terms_;
};

/// The ending of a matrix product: out = residual + gate * act(row_scale * col_scale * acc + bias).
/// Its tables live in the arena: keep a Scope around it.
class RowFinisher {
 public:
  /// Scales [batch * rows] and [cols], or nullptr for 1.
  RowFinisher(CpuKernels& kernels, const Epilogue& epilogue, const float* row_scale,
              const float* col_scale, const Rows& out);
  /// Ends columns [col, col + cols) of `count` rows from the flat row (batch * rows + row) `first`;
  /// acc [count, cols] of type Acc (float, bf16 or int32_t) with `acc_stride` elements from row to
  /// row.
  template <typename Acc>
  void finish(const Acc* acc, int64_t acc_stride, int64_t first, int64_t count, int64_t col,
              int64_t cols) const;

 private:
  const Epilogue epilogue_;
  const float* row_scale_;
  const float* col_scale_;
  const Rows out_;
  Tensor bias_, gates_;  // as floats: [cols], [batch, cols]
};

}  // namespace fluxq::cpu
