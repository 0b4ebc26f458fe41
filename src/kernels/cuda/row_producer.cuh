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

/// What a kernel knows of its producer when it is compiled: x as it is; a LayerNorm with shift and
/// scale, no weight, no bias; anything.
enum class RowForm { plain, modulated, any };

/// The most threads of a block, and how many blocks of so many a multiprocessor should hold: that
/// caps a thread's registers where rows in flight hide the waits for memory and at barriers. A
/// modulated row is one of at most 4096 columns.
template <RowForm kForm>
inline constexpr int kFormThreads = kForm == RowForm::modulated ? 128 : kRowThreads;
template <bool kAligned, RowForm kForm>
inline constexpr int kFormBlocks = !kAligned || kForm == RowForm::any ? 1
                                   : kForm == RowForm::plain          ? 3  // 40 registers
                                                                      : 8;          // 64

inline RowForm form_of(const Producer& p) {
  const bool factors = !p.weight.empty() || !p.bias.empty();
  if (p.kind == Producer::Kind::activate && p.act == Act::none && p.factor.empty())
    return RowForm::plain;
  if (p.kind == Producer::Kind::layer_norm && !p.shift.empty() && !p.scale.empty() && !factors &&
      row_threads(p.x.cols) <= kFormThreads<RowForm::modulated>)
    return RowForm::modulated;
  return RowForm::any;
}

/// launch(type, aligned, form) with the stream's C++ type, whether chunks of 16 bytes can be used
/// and the form, as values of types to be deduced. f32 has no such chunks and, like rows that are
/// not aligned, no forms: it is there for exactness.
template <typename Launch>
void with_row_type(const Producer& p, bool aligned, const Launch& launch) {
  using Any = std::integral_constant<RowForm, RowForm::any>;
  if (p.x.dtype == DType::f32) return launch(float{}, std::false_type{}, Any{});
  if (!aligned) return launch(bf16{}, std::false_type{}, Any{});
  switch (form_of(p)) {
    case RowForm::plain:
      return launch(bf16{}, std::true_type{}, std::integral_constant<RowForm, RowForm::plain>{});
    case RowForm::modulated:
      return launch(bf16{}, std::true_type{},
                    std::integral_constant<RowForm, RowForm::modulated>{});
    case RowForm::any:
      return launch(bf16{}, std::true_type{}, Any{});
  }
}

/// Column of a thread's chunk in the part of the row that starts at `first`.
__device__ inline int chunk_col(int first, int chunk) {
  return first + (chunk * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kChunk;
}

/// The part of a row that one thread has, as the stream holds it: two bf16 to a register, which
/// decides how many rows a multiprocessor has in flight. Values behind the row are 0.
template <typename T>
class RowPart {
 public:
  static constexpr bool kPacked = sizeof(T) == 2;

  template <bool kAligned>
  __device__ void load(const T* row, int first, int cols) {
#pragma unroll
    for (int i = 0; i < kRowChunks; ++i) {
      const int col = chunk_col(first, i);
      if constexpr (kPacked && kAligned) {
        chunks_[i] = col < cols ? *reinterpret_cast<const uint4*>(row + col) : uint4{0, 0, 0, 0};
      } else {
        float v[kChunk];
        load_chunk<kAligned>(row + col, cols - col, v);
        set(i, v);
      }
    }
  }

  __device__ void get(int i, float (&v)[kChunk]) const {
    if constexpr (kPacked) {
      unpack_bf16(chunks_[i], v);
    } else {
#pragma unroll
      for (int j = 0; j < kChunk; ++j) v[j] = chunks_[i].values[j];
    }
  }
  /// Rounds to T.
  __device__ void set(int i, const float (&v)[kChunk]) {
    if constexpr (kPacked) {
      chunks_[i] = packed_bf16(v);
    } else {
#pragma unroll
      for (int j = 0; j < kChunk; ++j) chunks_[i].values[j] = v[j];
    }
  }

  __device__ void clear(int i) { chunks_[i] = {}; }

  /// The bits, as f32, of the largest magnitude.
  __device__ uint32_t magnitude() const {
    uint32_t largest = 0;
    if constexpr (kPacked) {
      constexpr uint32_t kMagnitudes = 0x7fff7fff;  // of two values
#pragma unroll
      for (const uint4& c : chunks_) {
        largest = __vmaxu2(largest, __vmaxu2(c.x & kMagnitudes, c.y & kMagnitudes));
        largest = __vmaxu2(largest, __vmaxu2(c.z & kMagnitudes, c.w & kMagnitudes));
      }
      return max(largest & 0xffff0000u, largest << 16);
    } else {
#pragma unroll
      for (const Floats& c : chunks_)
#pragma unroll
        for (int j = 0; j < kChunk; ++j)
          largest = max(largest, __float_as_uint(c.values[j]) & 0x7fffffffu);
      return largest;
    }
  }

 private:
  struct Floats {
    float values[kChunk];
  };
  std::conditional_t<kPacked, uint4, Floats> chunks_[kRowChunks];
};

/// Mean and 1 / sqrt(variance + eps) of the block's row (with_mean), or 0 and 1 / sqrt(mean square
/// + eps). Each warp takes squares around its own mean, so that a large mean hides nothing, and the
/// block meets once.
template <bool kAligned, typename T>
__device__ float2 moments_of_row(const RowPart<T>& part, int cols, bool with_mean, float eps) {
  __shared__ WarpSlots means, squares, counts;
  int existing = 0;
  float mean = 0;
#pragma unroll
  for (int i = 0; i < kRowChunks; ++i) existing += min(max(cols - chunk_col(0, i), 0), kChunk);
  const auto count = static_cast<float>(__reduce_add_sync(0xffffffffu, existing));
  if (with_mean) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kRowChunks; ++i) {
      float v[kChunk];
      part.get(i, v);
      sum += ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
    }
    mean = __fdiv_rn(warp_sum(sum), fmaxf(count, 1.0f));
  }
  float square = 0;
#pragma unroll
  for (int i = 0; i < kRowChunks; ++i) {
    const int exist = cols - chunk_col(0, i);
    float v[kChunk], of_chunk = 0;
    part.get(i, v);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) {
      const float d = kAligned || j < exist ? __fsub_rn(v[j], mean) : 0.0f;
      of_chunk = __fmaf_rn(d, d, of_chunk);
    }
    square += exist > 0 ? of_chunk : 0.0f;
  }
  square = warp_sum(square);
  if (lane_of_thread() == 0) {
    counts[warp_of_thread()] = count;
    means[warp_of_thread()] = mean;
    squares[warp_of_thread()] = square;
  }
  __syncthreads();
  float sum = 0, total = 0;
  for (int warp = 0; warp < warps_of_block(); ++warp)
    sum = __fmaf_rn(counts[warp], means[warp], sum);
  mean = __fdiv_rn(sum, static_cast<float>(cols));
  for (int warp = 0; warp < warps_of_block(); ++warp) {
    const float d = means[warp] - mean;
    total += __fmaf_rn(counts[warp] * d, d, squares[warp]);
  }
  return {mean, 1.0f / sqrtf(total / static_cast<float>(cols) + eps)};
}

/// v = v factor + term, or v (1 + factor) + term, at columns from `col` on, rounded once. Without
/// kGiven either pointer may be null, for a factor of 1 and no term.
template <bool kAligned, bool kGiven, typename T>
__device__ void scale_and_add(const T* factor, bool one_plus, const T* term, int col, int count,
                              float (&v)[kChunk]) {
  if (!kGiven && !factor && !term) return;
  float factors[kChunk], terms[kChunk] = {};
#pragma unroll
  for (int j = 0; j < kChunk; ++j) factors[j] = one_plus ? 0.0f : 1.0f;
  if (kGiven || factor) load_chunk<kAligned>(factor + col, count, factors);
  if (kGiven || term) load_chunk<kAligned>(term + col, count, terms);
#pragma unroll
  for (int j = 0; j < kChunk; ++j)
    v[j] = __fmaf_rn(v[j], one_plus ? __fadd_rn(1.0f, factors[j]) : factors[j], terms[j]);
}

template <typename T, bool kAligned, RowForm kForm>
__device__ void normalize_row(const RowSource& p, int64_t batch, int cols, RowPart<T>& part) {
  constexpr bool kModulated = kForm == RowForm::modulated;
  const T* scale = kModulated || p.scale.data ? row_of<T>(p.scale, batch, 0) : nullptr;
  const T* shift = kModulated || p.shift.data ? row_of<T>(p.shift, batch, 0) : nullptr;
  const T* weight = kModulated ? nullptr : static_cast<const T*>(p.weight);
  const T* bias = kModulated ? nullptr : static_cast<const T*>(p.bias);
  const bool with_mean = kModulated || p.kind == Producer::Kind::layer_norm;
  const float2 moments = moments_of_row<kAligned>(part, cols, with_mean, p.eps);
#pragma unroll
  for (int i = 0; i < kRowChunks; ++i) {
    const int col = chunk_col(0, i), count = cols - col;
    float v[kChunk];
    part.get(i, v);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) {
      const float normal = __fmul_rn(__fsub_rn(v[j], moments.x), moments.y);
      v[j] = kAligned || j < count ? normal : 0.0f;
    }
    scale_and_add<kAligned, kModulated>(scale, true, shift, col, count, v);
    if (!kModulated) scale_and_add<kAligned, false>(weight, false, bias, col, count, v);
    part.set(i, v);
    if (kAligned && count <= 0) part.clear(i);
  }
}

/// part = the thread's part of row `row` of matrix `batch`, columns from `first` on (a norm needs
/// the whole row: first = 0).
template <typename T, bool kAligned, RowForm kForm>
__device__ void produce_row(const RowSource& p, int64_t batch, int64_t row, int first,
                            RowPart<T>& part) {
  const int cols = static_cast<int>(p.x.cols);
  part.template load<kAligned>(row_of<T>(p.x, batch, row), first, cols);
  if (kForm == RowForm::modulated ||
      (kForm == RowForm::any && p.kind != Producer::Kind::activate)) {
    normalize_row<T, kAligned, kForm>(p, batch, cols, part);
  } else if (kForm == RowForm::any) {
    const T* factor = p.factor.data ? row_of<T>(p.factor, batch, row) : nullptr;
#pragma unroll
    for (int i = 0; i < kRowChunks; ++i) {
      const int col = chunk_col(first, i);
      float v[kChunk];
      part.get(i, v);
#pragma unroll
      for (int j = 0; j < kChunk; ++j) v[j] = activate<T>(p.act, v[j]);
      scale_and_add<kAligned, false, T>(factor, false, nullptr, col, cols - col, v);
      part.set(i, v);
    }
  }
  if (!p.input_scale) return;
#pragma unroll
  for (int i = 0; i < kRowChunks; ++i) {
    const int col = chunk_col(first, i);
    float v[kChunk], scale[kChunk];
    part.get(i, v);
    load_chunk<kAligned>(p.input_scale + col, cols - col, scale);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) v[j] *= scale[j];
    part.set(i, v);
  }
}

/// Matrix and row of a block, which has one of batch * rows.
struct BlockRow {
  int64_t batch, row;
  __device__ explicit BlockRow(const Rows& rows)
      : batch(blockIdx.x / static_cast<unsigned>(rows.rows)),
        row(blockIdx.x % static_cast<unsigned>(rows.rows)) {}
};

}  // namespace fluxq::cuda
