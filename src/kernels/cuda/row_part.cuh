/// A row in the registers of a block or of a warp: how it is shared out, loaded and reduced. Sums
/// are taken in an order that depends on the row's columns only, whoever holds it.
#pragma once

#include <type_traits>

#include "kernels/cuda/device_values.cuh"
#include "kernels/cuda/rounded_pair.cuh"

namespace fluxq::cuda {

/// What a kernel knows of its rows when it is compiled. Those of FLUX.1's streams (kStreamCols) are
/// held by one warp each, without barriers and with all of a row on its way before its first use:
/// `stream` is x as it is, `modulated_stream` a LayerNorm with shift and scale, no weight, no bias.
/// Rows of other widths are held by one block each: `plain` is x as it is.
enum class RowForm { stream, modulated_stream, plain, any };

template <RowForm kForm>
inline constexpr bool kByWarp = kForm == RowForm::stream || kForm == RowForm::modulated_stream;

/// Chunks of a row that a thread has if a block holds it, and the most threads of such a block.
inline constexpr int kRowChunks = 4;
inline constexpr int kRowThreads = 512;
/// Columns of a row that a block can hold: more than any layer of FLUX, T5 or CLIP has.
inline constexpr int64_t kMaxRowCols = int64_t{kRowChunks} * kRowThreads * kChunk;

/// A warp that holds a row does the work of so many, and has rows of these columns only.
inline constexpr int kWarpParts = 3;
inline constexpr int kStreamCols = 32 * kWarpParts * kRowChunks * kChunk;
static_assert(kStreamCols == 3072);
/// Warps of a block, when each has a row.
inline constexpr int kStreamWarps = 4;

/// Threads of the block that holds a row of `cols` <= kMaxRowCols columns: depends on nothing else.
inline unsigned row_threads(int64_t cols) {
  const int64_t per_warp = 32 * kRowChunks * kChunk;
  const int64_t warps = std::max<int64_t>(1, (cols + per_warp - 1) / per_warp);
  return static_cast<unsigned>(std::min<int64_t>(32 * warps, kRowThreads));
}

/// Blocks and their threads for all rows of a kernel.
struct GridOfRows {
  unsigned blocks, threads;
};
template <RowForm kForm>
GridOfRows grid_of_rows(const Rows& rows) {
  const int64_t count = rows.batch * rows.rows;
  if (!kByWarp<kForm>) return {static_cast<unsigned>(count), row_threads(rows.cols)};
  return {static_cast<unsigned>((count + kStreamWarps - 1) / kStreamWarps), 32 * kStreamWarps};
}

/// The most threads of a block, and how many such blocks a multiprocessor should hold: that caps a
/// thread's registers where rows in flight hide the waits for memory and for reductions.
template <RowForm kForm>
inline constexpr int kFormThreads = kByWarp<kForm> ? 32 * kStreamWarps : kRowThreads;
template <bool kAligned, RowForm kForm>
inline constexpr int kFormBlocks = kForm == RowForm::modulated_stream   ? 4  // 128 registers
                                   : kForm == RowForm::stream           ? 7  // 72
                                   : kForm == RowForm::plain&& kAligned ? 3  // 40
                                                                        : 1;

/// Matrix and row of a thread in a grid of grid_of_rows(); where warps hold rows, the last ones may
/// have none.
template <RowForm kForm>
struct RowOfThread {
  int64_t batch, row;
  int64_t index;  ///< batch * rows + row
  bool outside, first_thread;
  __device__ explicit RowOfThread(const Rows& rows) {
    unsigned i = blockIdx.x;
    if (kByWarp<kForm>) i = i * kStreamWarps + threadIdx.x / 32;
    index = i;
    batch = i / static_cast<unsigned>(rows.rows);
    row = i % static_cast<unsigned>(rows.rows);
    outside = kByWarp<kForm> && batch >= rows.batch;
    first_thread = (kByWarp<kForm> ? threadIdx.x % 32 : threadIdx.x) == 0;
  }
};

/// What one thread has of a row, as the stream holds it: two bf16 to a register, which decides how
/// many rows a multiprocessor has in flight. Values behind the row are 0.
template <typename T, RowForm kForm>
class RowPart {
 public:
  static constexpr bool kPacked = sizeof(T) == 2;
  static constexpr int kParts = kByWarp<kForm> ? kWarpParts : 1;
  static constexpr int kChunks = kParts * kRowChunks;

  /// Column of a chunk in the part of the row that starts at `first`.
  __device__ static int col(int first, int chunk) {
    const auto thread = static_cast<int>(kByWarp<kForm> ? threadIdx.x % 32 : threadIdx.x);
    const auto threads = static_cast<int>(kByWarp<kForm> ? 32 : blockDim.x);
    return first + (chunk * threads + thread) * kChunk;
  }
  /// How many columns from col() on the row has: <= 0 or > kChunk as well.
  __device__ static int count(int first, int chunk, int cols) {
    return kByWarp<kForm> ? kChunk : cols - col(first, chunk);
  }
  /// A row's columns, known when compiled if a warp holds it.
  __device__ static int cols_of(const Rows& rows) {
    return kByWarp<kForm> ? kStreamCols : static_cast<int>(rows.cols);
  }

  template <bool kAligned>
  __device__ void load(const T* row, int first, int cols) {
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int at = col(first, i);
      if constexpr (kPacked && kAligned) {
        const bool exists = count(first, i, cols) > 0;
        chunks_[i] = exists ? *reinterpret_cast<const uint4*>(row + at) : uint4{0, 0, 0, 0};
      } else {
        float v[kChunk];
        load_chunk<kAligned>(row + at, count(first, i, cols), v);
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
      // A word at once: packed_bf16() moves its halves one by one, as many instructions again.
      chunks_[i] = {bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]), bf16_pair(v[4], v[5]),
                    bf16_pair(v[6], v[7])};
    } else {
#pragma unroll
      for (int j = 0; j < kChunk; ++j) chunks_[i].values[j] = v[j];
    }
  }

  __device__ void clear(int i) { chunks_[i] = {}; }

  /// The bits, as f32, of the largest magnitude. Of bf16, the largest number with a sign and the
  /// largest without are those of the positive and of the negative values.
  __device__ uint32_t magnitude() const {
    if constexpr (kPacked) {
      uint32_t with_sign = 0, without = 0;  // of two values
#pragma unroll
      for (const uint4& c : chunks_) {
        with_sign = __vmaxs2(__vmaxs2(with_sign, c.x), c.y);
        with_sign = __vmaxs2(__vmaxs2(with_sign, c.z), c.w);
        without = __vmaxu2(__vmaxu2(without, c.x), c.y);
        without = __vmaxu2(__vmaxu2(without, c.z), c.w);
      }
      const uint32_t largest = __vmaxu2(with_sign, without & 0x7fff7fff);
      return max(largest & 0xffff0000u, largest << 16);
    } else {
      uint32_t largest = 0;
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
  std::conditional_t<kPacked, uint4, Floats> chunks_[kChunks];
};

/// The sum over a row of what its threads have, one number for each of the parts that a block of
/// warps would have: over the parts first, then over the lanes. A kernel has one such `slots` for
/// each of its sums.
using RowSlots = float[kRowThreads];
template <RowForm kForm, int kParts>
__device__ float sum_of_row(const float (&parts)[kParts], RowSlots& slots) {
  float sum = 0;
  if constexpr (kByWarp<kForm>) {
#pragma unroll
    for (int part = 0; part < kParts; ++part) sum += parts[part];
  } else {
    static_assert(kParts == 1);
    slots[threadIdx.x] = parts[0];
    __syncthreads();
    for (int warp = 0; warp < warps_of_block(); ++warp) sum += slots[32 * warp + lane_of_thread()];
  }
  return warp_sum(sum);
}

/// The largest of a row's magnitudes, given as bit patterns.
template <RowForm kForm>
__device__ uint32_t max_of_row(uint32_t bits, WarpSlots& slots) {
  return kByWarp<kForm> ? __reduce_max_sync(0xffffffffu, bits) : block_max(bits, slots);
}

}  // namespace fluxq::cuda
