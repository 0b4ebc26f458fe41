/// What follows the sums of a tile of gemm_qkv.h: scales and bias, QK-norm, rope, and rows or
/// codes.
#pragma once

#include <cutlass/arch/barrier.h>

#include "kernels/cuda/attention_codes.cuh"
#include "kernels/cuda/gemm_qkv.h"
#include "kernels/cuda/hopper.cuh"

namespace fluxq::cuda::qkv {

constexpr int kGroupThreads = 128, kWarps = kGroupThreads / 32;
constexpr int kRows = 4;                   // that a thread has of a tile
constexpr int kHeadChunks = kQkvDim / 32;  // of 8 neighbouring columns, that it has of a row's head
constexpr int kChunks = kQkvTileColumns / 32;

/// What a tile's ending reads, brought to shared memory while its sums are made: from global memory
/// it would take longer than all arithmetic. Columns of the head, then of v.
struct Constants {
  alignas(128) float rope[kQkvTileRows][kQkvDim];
  alignas(16) float scale[kQkvTileColumns], bias[kQkvTileColumns];
  alignas(16) float weight[kQkvDim];
  float x_scale[kQkvTileRows];
};

struct Shared {
  Constants constants;
  uint32_t largest[kWarps];
};

/// Where a tile lies.
struct Tile {
  int index, first_row, rows, head, picture, row_of_picture;
  bool is_k;
  __device__ Tile(const QkvProduct& p, int row, int column)
      : index(column),
        first_row(row * kQkvTileRows),
        rows(min(kQkvTileRows, p.m - first_row)),
        head(column % p.heads),
        picture(first_row / p.rows_of_picture),
        row_of_picture(first_row % p.rows_of_picture),
        is_k(column >= p.heads) {}
  /// The first columns of its head and of its values, of q | k | v.
  __device__ int column_of_head() const { return index * kQkvDim; }
  __device__ int column_of_values(const QkvProduct& p) const {
    return 2 * p.heads * kQkvDim + index * kQkvTileValues;
  }
};

/// By one warp, whose lanes all arrive at the barrier afterwards.
__device__ inline void load_constants(const QkvProduct& p, const Tile& tile, Constants& to,
                                      hopper::Barrier& barrier) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto* const bias = static_cast<const bf16*>(p.bias);
  const auto* const weight = static_cast<const bf16*>(tile.is_k ? p.k_weight : p.q_weight);
  if (lane == 0) {
    const uint32_t bytes = static_cast<uint32_t>(tile.rows) * sizeof(to.rope[0]);
    hopper::expect_bytes(barrier, bytes);
    hopper::copy_bulk(to.rope, p.rope + int64_t{tile.row_of_picture} * kQkvDim, bytes, barrier);
  }
#pragma unroll
  for (int i = lane; i < kQkvTileColumns; i += 32) {
    const int column =
        i < kQkvDim ? tile.column_of_head() + i : tile.column_of_values(p) + i - kQkvDim;
    to.scale[i] = p.w_scale[column];
    to.bias[i] = bias != nullptr ? to_float(bias[column]) : 0.0f;
  }
#pragma unroll
  for (int i = lane; i < kQkvDim; i += 32) to.weight[i] = to_float(weight[i]);
#pragma unroll
  for (int i = lane; i < kQkvTileRows; i += 32) {
    const int64_t row = tile.first_row + min(i, tile.rows - 1);
    to.x_scale[i] = p.x_scale[row * p.x_scale_stride];
  }
}

/// A thread's part of a row's head: at [g][i] column 32 g + 8 q + i, q its number among four.
using Head = float[kHeadChunks][kChunk];

/// hadamard_128() of a head as four threads have it.
__device__ inline void transform(Head& v, int quarter) {
#pragma unroll
  for (int step = 1; step < kChunk; step *= 2)
#pragma unroll
    for (auto& chunk : v)
#pragma unroll
      for (int i = 0; i < kChunk; ++i)
        if ((i & step) == 0) sum_and_difference(chunk[i], chunk[i + step]);
#pragma unroll
  for (int step = 1; step < kHeadChunks; step *= 2)
#pragma unroll
    for (int g = 0; g < kHeadChunks; ++g)
#pragma unroll
      for (int i = 0; i < kChunk; ++i)
        if ((g & step) == 0) sum_and_difference(v[g][i], v[g + step][i]);
#pragma unroll
  for (int step = 1; step < 4; step *= 2) {
    const float sign = (quarter & step) != 0 ? -1.0f : 1.0f;
#pragma unroll
    for (auto& chunk : v)
#pragma unroll
      for (float& x : chunk) x = fmaf(x, sign, __shfl_xor_sync(kWholeWarp, x, step));
  }
}

/// The largest magnitude of a head, as bits.
__device__ inline uint32_t largest_of(const Head& v) {
  uint32_t bits = 0;
#pragma unroll
  for (const auto& chunk : v) bits = max(bits, magnitude_bits(chunk));
  bits = max(bits, __shfl_xor_sync(kWholeWarp, bits, 1));
  return max(bits, __shfl_xor_sync(kWholeWarp, bits, 2));
}

/// Writes row `row` of a tile's codes. hadamard_128() leaves bits 0, 1, 6, 2, 3, 4, 5 of a column's
/// number in this order, the lowest first: a thread has pieces of 16 neighbours.
__device__ inline void store_codes(const Head& v, float inverse, int row, int quarter,
                                   int8_t* tile) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float low[kChunk], high[kChunk];
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      low[i] = v[half + i / 4 * 2][i % 4];
      high[i] = v[half + i / 4 * 2][i % 4 + 4];
    }
    const uint2 a = codes_of(low, inverse), b = codes_of(high, inverse);
    const int piece = (quarter + 4 * half) ^ row % 8;
    *reinterpret_cast<uint4*>(tile + row * kQkvDim + piece * 16) = {a.x, a.y, b.x, b.y};
  }
}

/// No load moves up across this: sums and results leave few registers for what waits to be used,
/// and what does not fit would go through the caches.
__device__ inline void few_at_once() { asm volatile("" ::: "memory"); }

/// What follows a tile's sums, by one of the groups that multiply.
class Ending {
 public:
  __device__ Ending(const QkvProduct& product, const Tile& tile, Shared& shared, int thread)
      : p_(product),
        tile_(tile),
        constants_(shared.constants),
        largest_(shared.largest),
        thread_(thread),
        quarter_(thread % 4) {}

  /// sum(r, g, i) is the one of row row(r) and column column(g) + i of the tile.
  template <typename Sum>
  __device__ void write_values(const Sum& sum) const {
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int g = kHeadChunks; g < kChunks; ++g) {
        few_at_once();
        float v[kChunk];
        scaled(sum, r, g, v);
        store(p_.v, r, tile_.index * kQkvTileValues + column(g) - kQkvDim, v);
      }
  }

  /// A thread has 8 columns of two rows that are 8 apart. It changes four of them with the thread
  /// that has the rows next to these for the other four, so that each has whole words: four columns
  /// of four rows (the order of Int8Codes::v).
  template <typename Sum>
  __device__ void write_value_codes(const Sum& sum) const {
    const bool odd = thread_ / 4 % 2 != 0;
    const int in_head = tile_.index % 2 * kQkvTileValues + (odd ? kChunk / 2 : 0) - kQkvDim;
    uint8_t* const codes = p_.v_codes + tile_of_head(tile_.index / 2) * kQkvTileRows * kQkvDim;
#pragma unroll
    for (int r = 0; r < kRows; r += 2)
#pragma unroll
      for (int g = kHeadChunks; g < kChunks; ++g) {
        few_at_once();
        float low[kChunk], high[kChunk];
        scaled(sum, r, g, low);
        scaled(sum, r + 1, g, high);
        uint32_t pairs[kChunk / 2];  // of two columns each
#pragma unroll
        for (int i = 0; i < kChunk; i += 2) {
          pairs[i / 2] = value_codes(r, low[i], high[i]) | value_codes(r, low[i + 1], high[i + 1])
                                                               << 16;
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const uint32_t mine = odd ? pairs[i + 2] : pairs[i];
          const uint32_t others = __shfl_xor_sync(kWholeWarp, odd ? pairs[i] : pairs[i + 2], 4);
          const uint32_t even_row = odd ? others : mine, odd_row = odd ? mine : others;
          const int column_of_head = column(g) + in_head + 2 * i;
          store_word(codes, column_of_head, r, __byte_perm(even_row, odd_row, 0x5140));
          store_word(codes, column_of_head + 1, r, __byte_perm(even_row, odd_row, 0x7362));
        }
      }
  }

  /// A row's head as qk_norm_rope() leaves it, which rounds in between, or not, as encode_int8().
  template <bool kRounded, typename Sum>
  __device__ void norm_and_rotate(const Sum& sum, int r, Head& head) const {
    few_at_once();
    float squares = 0;
#pragma unroll
    for (int g = 0; g < kHeadChunks; ++g) {
      scaled(sum, r, g, head[g]);
#pragma unroll
      for (float v : head[g]) squares = fmaf(v, v, squares);
    }
    squares += __shfl_xor_sync(kWholeWarp, squares, 1);
    squares += __shfl_xor_sync(kWholeWarp, squares, 2);
    const float inverse = 1.0f / sqrtf(squares * (1.0f / kQkvDim) + p_.eps);
    few_at_once();
#pragma unroll
    for (int g = 0; g < kHeadChunks; ++g) {
      float weight[kChunk], angles[kChunk];
      load_chunk<true>(constants_.weight + column(g), kChunk, weight);
      load_chunk<true>(constants_.rope[row(r)] + column(g), kChunk, angles);
      float(&v)[kChunk] = head[g];
#pragma unroll
      for (int i = 0; i < kChunk; ++i) v[i] *= inverse * weight[i];
      if constexpr (kRounded) unpack_bf16(packed_bf16(v), v);
#pragma unroll
      for (int i = 0; i < kChunk; i += 2) rotate(v[i], v[i + 1], angles[i], angles[i + 1]);
    }
  }

  __device__ void write_head(int r, const Head& head) const {
#pragma unroll
    for (int g = 0; g < kHeadChunks; ++g)
      store(tile_.is_k ? p_.k : p_.q, r, tile_.head * kQkvDim + column(g), head[g]);
  }

  __device__ void write_codes(Head (&heads)[kRows]) const {
    uint32_t bits[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      transform(heads[r], quarter_);
      bits[r] = largest_of(heads[r]);
    }
    const int64_t tile = tile_of_head(tile_.head);
    if (tile_.is_k) {  // one scale for the tile
      uint32_t most = 0;
#pragma unroll
      for (int r = 0; r < kRows; ++r)
        if (row(r) < tile_.rows) most = max(most, bits[r]);
      most = __reduce_max_sync(kWholeWarp, most);
      if (thread_ % 32 == 0) largest_[thread_ / 32] = most;
      cutlass::arch::NamedBarrier::sync(kGroupThreads,
                                        cutlass::arch::ReservedNamedBarriers::EpilogueBarrier);
      most = max(max(largest_[0], largest_[1]), max(largest_[2], largest_[3]));
#pragma unroll
      for (uint32_t& x : bits) x = most;
      if (thread_ == 0) p_.k_scale[tile] = scale_of(most);
    }
    int8_t* const codes = (tile_.is_k ? p_.k_codes : p_.q_codes) + tile * kQkvTileRows * kQkvDim;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float scale = scale_of(bits[r]);
      store_codes(heads[r], __fdividef(kHadamardNorm, scale), row(r), quarter_, codes);
      if (!tile_.is_k && quarter_ == 0)
        p_.q_scale[tile * kQkvTileRows + row(r)] = scale * p_.q_factor;
    }
  }

 private:
  __device__ int row(int r) const {
    return r / 2 * 64 + thread_ / 32 * 16 + r % 2 * 8 + thread_ % 32 / 4;
  }
  __device__ int column(int g) const { return g * 32 + quarter_ * kChunk; }
  /// Among the tiles of codes of all heads.
  __device__ int64_t tile_of_head(int head) const {
    return (int64_t{tile_.picture} * p_.heads + head) * p_.tiles + p_.first_tile +
           tile_.row_of_picture / kQkvTileRows;
  }
  /// Of rows row(r) and row(r + 1); zero where there is no row.
  __device__ uint32_t value_codes(int r, float low, float high) const {
    return e4m3_pair(row(r) < tile_.rows ? low : 0.0f, row(r + 1) < tile_.rows ? high : 0.0f);
  }
  /// The word of rows row(r) and three more, of 16 that begin at a multiple of 16.
  __device__ void store_word(uint8_t* codes, int column_of_head, int r, uint32_t word) const {
    const int piece = row(r) / 16 ^ column_of_head % 8, place = row(r) % 8 / 2 * 4;
    *reinterpret_cast<uint32_t*>(codes + column_of_head * kQkvTileRows + piece * 16 + place) = word;
  }
  __device__ static float scale_of(uint32_t largest) {
    return scale_for(__uint_as_float(largest) * kHadamardNorm);
  }

  template <typename Sum>
  __device__ void scaled(const Sum& sum, int r, int g, float (&v)[kChunk]) const {
    const float x_scale = constants_.x_scale[row(r)];
#pragma unroll
    for (int i = 0; i < kChunk; i += 4) {
      const float4 scale = *reinterpret_cast<const float4*>(constants_.scale + column(g) + i);
      const float4 bias = *reinterpret_cast<const float4*>(constants_.bias + column(g) + i);
      v[i] = fmaf(scale.x, x_scale * sum(r, g, i), bias.x);
      v[i + 1] = fmaf(scale.y, x_scale * sum(r, g, i + 1), bias.y);
      v[i + 2] = fmaf(scale.z, x_scale * sum(r, g, i + 2), bias.z);
      v[i + 3] = fmaf(scale.w, x_scale * sum(r, g, i + 3), bias.w);
    }
  }

  __device__ void store(void* part, int r, int column, const float (&v)[kChunk]) const {
    if (row(r) < tile_.rows)
      store_chunk<true>(
          v, kChunk,
          static_cast<bf16*>(part) + int64_t{tile_.first_row + row(r)} * p_.out_stride + column);
  }

  const QkvProduct& p_;
  const Tile& tile_;
  const Constants& constants_;
  uint32_t (&largest_)[kWarps];
  const int thread_, quarter_;
};

}  // namespace fluxq::cuda::qkv
