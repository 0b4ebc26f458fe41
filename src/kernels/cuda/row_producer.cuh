/// A Producer's row in registers, for every kernel that starts from one: one block has one row, a
/// thread kRowChunks chunks of it; what it gets is rounded to the stream as kernels.h says.
#pragma once

#include <string_view>
#include <type_traits>

#include "kernels/cuda/device_values.cuh"

namespace fluxq::cuda {

inline constexpr int kRowChunks = 4;
inline constexpr int kRowThreads = 512;
/// Columns of a row that a block can hold: more than any layer of FLUX, T5 or CLIP has.
inline constexpr int64_t kMaxRowCols = int64_t{kRowChunks} * kRowThreads * kChunk;

/// A Producer without its owners, as kernels take it.
struct RowSource {
  Producer::Kind kind;
  Act act;
  float eps;
  Rows x, factor, shift, scale;
  const void* weight;
  const void* bias;
  const float* input_scale;

  explicit RowSource(const Producer& p)
      : kind(p.kind),
        act(p.act),
        eps(p.eps),
        x(p.x),
        factor(p.factor),
        shift(p.shift),
        scale(p.scale),
        weight(p.weight.raw()),
        bias(p.bias.raw()),
        input_scale(static_cast<const float*>(p.input_scale.raw())) {}
};

/// Error(unsupported) naming `operation` for rows of more than kMaxRowCols columns.
void check_row_cols(std::string_view operation, int64_t cols);

inline bool has_aligned_chunks(const Producer& p) {
  return has_aligned_chunks(p.x) && has_aligned_chunks(p.factor) && has_aligned_chunks(p.shift) &&
         has_aligned_chunks(p.scale) && (p.weight.empty() || has_aligned_chunks(p.weight)) &&
         (p.bias.empty() || has_aligned_chunks(p.bias)) &&
         (p.input_scale.empty() || has_aligned_chunks(p.input_scale));
}

/// Threads of the block that holds a row of `cols` <= kMaxRowCols columns: depends on nothing else.
inline unsigned row_threads(int64_t cols) {
  const int64_t per_warp = 32 * kRowChunks * kChunk;
  const int64_t warps = std::max<int64_t>(1, (cols + per_warp - 1) / per_warp);
  return static_cast<unsigned>(std::min<int64_t>(32 * warps, kRowThreads));
}

/// launch(type, aligned) with the stream's C++ type and whether chunks of 16 bytes can be used, as
/// values of types to be deduced. f32 has the plain form only: it is there for exactness.
template <typename Launch>
void with_stream_type(DType stream, bool aligned, const Launch& launch) {
  if (stream == DType::f32)
    launch(float{}, std::false_type{});
  else if (aligned)
    launch(bf16{}, std::true_type{});
  else
    launch(bf16{}, std::false_type{});
}

/// The part of a row that one thread has.
using RowValues = float[kRowChunks][kChunk];

/// Column of a thread's chunk in the part of the row that starts at `first`.
__device__ inline int chunk_col(int first, int chunk) {
  return first + (chunk * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kChunk;
}

/// f(value, column) for all values of the thread, also those behind the row.
template <typename F>
__device__ void for_each_value(RowValues& v, int first, const F& f) {
#pragma unroll
  for (int i = 0; i < kRowChunks; ++i)
#pragma unroll
    for (int j = 0; j < kChunk; ++j) f(v[i][j], chunk_col(first, i) + j);
}

template <bool kAligned, typename T>
__device__ void load_row(const T* row, int first, int cols, RowValues& v) {
#pragma unroll
  for (int i = 0; i < kRowChunks; ++i) {
    const int col = chunk_col(first, i);
    load_chunk<kAligned>(row + col, cols - col, v[i]);
  }
}

/// f(value, operand's value) for all values, if the operand is given.
template <bool kAligned, typename T, typename F>
__device__ void combine(const T* operand, int first, int cols, RowValues& v, const F& f) {
  if (!operand) return;
#pragma unroll
  for (int i = 0; i < kRowChunks; ++i) {
    const int col = chunk_col(first, i);
    float other[kChunk];
    load_chunk<kAligned>(operand + col, cols - col, other);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) f(v[i][j], other[j]);
  }
}

/// Two passes over the registers, because one of squares loses what a large mean hides.
template <typename T, bool kAligned>
__device__ void normalize_row(const RowSource& p, int64_t batch, int cols, RowValues& v) {
  __shared__ WarpSlots sums, squares;
  const auto count = static_cast<float>(cols);
  if (p.kind == Producer::Kind::layer_norm) {
    float sum = 0;
    for_each_value(v, 0, [&](float& value, int) { sum += value; });
    const float mean = block_sum(sum, sums) / count;
    for_each_value(
        v, 0, [&](float& value, int col) { value = col < cols ? __fsub_rn(value, mean) : 0.0f; });
  }
  float square = 0;
  for_each_value(v, 0, [&](float& value, int) { square = __fmaf_rn(value, value, square); });
  const float inverse = 1.0f / sqrtf(block_sum(square, squares) / count + p.eps);
  for_each_value(v, 0, [&](float& value, int) { value = __fmul_rn(value, inverse); });

  const auto multiply = [](float& value, float other) { value = __fmul_rn(value, other); };
  const auto add = [](float& value, float other) { value = __fadd_rn(value, other); };
  const T* scale = p.scale.data ? row_of<T>(p.scale, batch, 0) : nullptr;
  const T* shift = p.shift.data ? row_of<T>(p.shift, batch, 0) : nullptr;
  combine<kAligned>(scale, 0, cols, v,
                    [&](float& value, float s) { multiply(value, __fadd_rn(1.0f, s)); });
  combine<kAligned>(shift, 0, cols, v, add);
  combine<kAligned>(static_cast<const T*>(p.weight), 0, cols, v, multiply);
  combine<kAligned>(static_cast<const T*>(p.bias), 0, cols, v, add);
}

/// v = the thread's part of row `row` of matrix `batch`, columns from `first` on (a norm needs the
/// whole row: first = 0); values behind the row are 0.
template <typename T, bool kAligned>
__device__ void produce_row(const RowSource& p, int64_t batch, int64_t row, int first,
                            RowValues& v) {
  const int cols = static_cast<int>(p.x.cols);
  load_row<kAligned>(row_of<T>(p.x, batch, row), first, cols, v);
  if (p.kind == Producer::Kind::activate) {
    if (p.act != Act::none)
      for_each_value(v, 0, [&](float& value, int) { value = activate<T>(p.act, value); });
    const T* factor = p.factor.data ? row_of<T>(p.factor, batch, row) : nullptr;
    combine<kAligned>(factor, first, cols, v, [](float& value, float f) { value *= f; });
  } else {
    normalize_row<T, kAligned>(p, batch, cols, v);
  }
  for_each_value(v, 0, [](float& value, int) { value = rounded_through<T>(value); });
  combine<kAligned>(p.input_scale, first, cols, v,
                    [](float& value, float scale) { value = rounded_through<T>(value * scale); });
}

/// Matrix and row of a block, which has one of batch * rows.
struct BlockRow {
  int64_t batch, row;
  __device__ explicit BlockRow(const Rows& rows)
      : batch(blockIdx.x / static_cast<unsigned>(rows.rows)),
        row(blockIdx.x % static_cast<unsigned>(rows.rows)) {}
};

}  // namespace fluxq::cuda
