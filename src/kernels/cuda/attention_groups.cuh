/// A warpgroup of 8-bit attention: 64 queries of one tile after the other.
#pragma once

#include "kernels/cuda/attention_weights.cuh"
#include "kernels/cuda/device_values.cuh"

namespace fluxq::cuda::attention8 {

__device__ inline void multiply_scores(uint32_t (&scores)[64], uint64_t q, uint64_t k) {
#pragma unroll
  for (int step = 0; step < kDim / 32; ++step)
    add_product_s8(scores, moved(q, step * 32), moved(k, step * 32));
  commit_products();
}

__device__ inline void multiply_values(float (&result)[64], const uint32_t (&weights)[32],
                                       uint64_t v) {
#pragma unroll
  for (int step = 0; step < kTile / 16; ++step)
    add_product_bf16(result, weights[4 * step], weights[4 * step + 1], weights[4 * step + 2],
                     weights[4 * step + 3], moved(v, step * 16 * 128));
  commit_products();
}

__device__ inline void multiply_values(float (&result)[64], const uint32_t (&weights)[16],
                                       uint64_t v) {
#pragma unroll
  for (int step = 0; step < kTile / 32; ++step)
    add_product_e4m3(result, weights[4 * step], weights[4 * step + 1], weights[4 * step + 2],
                     weights[4 * step + 3], moved(v, step * 32));
  commit_products();
}

__device__ inline float sum_of_row(const RowState& state, int h) {
  float sum = state.sum[h];
  sum += __shfl_xor_sync(0xffffffffu, sum, 1);
  sum += __shfl_xor_sync(0xffffffffu, sum, 2);
  return sum;
}

/// `row` is the thread's first one of the tile.
template <typename T>
__device__ void store_part(const float (&result)[64], const RowState& state, const Work& work,
                           const Unit& unit, int row) {
  const int first_col = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int64_t place = unit.place * kQueryRows<T> + row + 8 * h;
    const float sum = sum_of_row(state, h);
    if (first_col == 0) work.parts.rows[place] = {state.reference[h], sum};
#pragma unroll
    for (int j = 0; j < 16; ++j)
      *reinterpret_cast<float2*>(work.parts.results + place * kDim + first_col + 8 * j) = {
          result[4 * j + 2 * h], result[4 * j + 2 * h + 1]};
  }
}

template <typename T>
__device__ void store(const float (&result)[64], const RowState& state, const Work& work,
                      const Unit& unit, int row_of_tile) {
  const int first_col = static_cast<int>(threadIdx.x) % 4 * 2;
  const int row = unit.tile * kQueryRows<T> + row_of_tile;
  bf16* const out = static_cast<bf16*>(work.out.data) + unit.picture * work.out.batch_stride +
                    unit.head * kDim + first_col;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float inverse = 1.0f / sum_of_row(state, h);
    if (row + 8 * h >= work.out.rows) continue;
    bf16* const to = out + (row + 8 * h) * work.out.row_stride;
#pragma unroll
    for (int j = 0; j < 16; ++j)
      *reinterpret_cast<__nv_bfloat162*>(to + 8 * j) = __float22bfloat162_rn(
          {result[4 * j + 2 * h] * inverse, result[4 * j + 2 * h + 1] * inverse});
  }
}

/// What a group keeps from one unit of work to the next.
template <typename T>
struct Group {
  const Work& work;
  Shared<T>& shared;
  const uint64_t q, k, v;
  const int tiles, last_keys;
  RingPosition<kStages> keys = {}, values = {};
  uint32_t q_parity = 0;

  __device__ Group(const Work& all, Shared<T>& memory)
      : work(all),
        shared(memory),
        q(swizzled_operand(shared_address(memory.q) + index() * kGroupRows * kDim)),
        k(swizzled_operand(shared_address(memory.k))),
        v(std::is_same_v<T, E4m3> ? swizzled_operand(shared_address(memory.v))
                                  : swizzled_operand(shared_address(memory.v), kHalfBytes)),
        tiles(all.parts.tiles),
        last_keys(static_cast<int>(all.out.rows) - (tiles - 1) * kTile) {
    if (T::kGroups == 2 && index() == 1) pass_turn();  // group 0 begins
  }
  __device__ static int index() { return static_cast<int>(threadIdx.x) / kGroupThreads - 1; }
  /// Of the tile: the thread's first one; the second is 8 further down.
  __device__ static int row() {
    return index() * kGroupRows + static_cast<int>(threadIdx.x) % kGroupThreads / 32 * 16 +
           static_cast<int>(threadIdx.x) % 32 / 4;
  }

  /// Two groups can take turns at multiplying. Named barriers 1 and 2: whose turn it is.
  __device__ static void take_turn() { sync_named(1 + index(), 2 * kGroupThreads); }
  __device__ static void pass_turn() { arrive_named(2 - index(), 2 * kGroupThreads); }

  __device__ void wait_for_keys() { wait(shared.k_full[keys.slot], keys.parity); }
  __device__ void wait_for_values() { wait(shared.v_full[values.slot], values.parity); }
  __device__ void wait_for_queries() {
    wait(shared.q_full, q_parity);
    q_parity ^= 1;
  }
  __device__ void multiply_keys(uint32_t (&scores)[64]) const {
    multiply_scores(scores, q, moved(k, keys.slot * kCodeBytes));
  }
  __device__ void multiply_with_values(float (&result)[64], const typename T::Weights& weights) {
    multiply_values(result, weights, moved(v, values.slot * T::kValueBytes));
  }
  __device__ void release_keys(int offset = 0) {
    release(shared.k_empty[keys.slot + offset]);
    keys.advance();
  }
  __device__ void release_values() {
    release(shared.v_empty[values.slot]);
    values.advance();
  }
  __device__ void hide_missing(uint32_t (&scores)[64], int j) const {
    if (j == tiles - 1 && last_keys < kTile) hide_missing_keys(scores, last_keys);
  }
  __device__ const float* k_scales(const Unit& unit) const {
    return work.k_scale + int64_t{unit.head_index} * tiles;
  }
  /// Of the thread's first row; that of the second is 8 further on. A tile of 192 queries may end
  /// behind the tiles of 128 that have scales: what is read there is not used.
  __device__ const float* q_scales(const Unit& unit) const {
    const int rows = tiles * kTile;
    return work.q_scale + int64_t{unit.head_index} * rows +
           min(unit.tile * kQueryRows<T> + row(), rows - 1 - 8);
  }
  __device__ void store_results(const float (&result)[64], const RowState& state,
                                const Unit& unit) const {
    if (unit.place < 0)
      store<T>(result, state, work, unit, row());
    else
      store_part<T>(result, state, work, unit, row());
  }
};

/// If a row's factor is not 1.
__device__ inline void multiply_rows(float (&result)[64], const float (&factor)[2]) {
  if (!__any_sync(0xffffffffu, !(factor[0] == 1 && factor[1] == 1))) return;
#pragma unroll
  for (int i = 0; i < 64; ++i) result[i] *= factor[i / 2 % 2];
}

/// With weights in bf16: a tile's scores are multiplied, and the values with the weights of the
/// tile before; while the latter still goes on, scores become weights.
__device__ inline void attend_unit(Group<Bf16>& group, const Unit& unit) {
  Shared<Bf16>& shared = group.shared;
  const float *const k_scale = group.k_scales(unit), *const q_scale = group.q_scales(unit);
  const float row_scale[2] = {q_scale[0], q_scale[8]};

  float result[64] = {};
  uint32_t scores[64];
  Bf16::Weights weights;
  RowState state = {{-INFINITY, -INFINITY}, {0, 0}};
  float factor[2];

  group.wait_for_queries();
  const auto weigh = [&](int j, float tile_scale) {  // scores that are there become weights
    pin(scores);
    if (j == unit.last - 1) release(shared.q_empty);
    group.hide_missing(scores, j);
    const float scale[2] = {row_scale[0] * tile_scale, row_scale[1] * tile_scale};
    soften<Bf16>(scores, scale, state, factor);
    // A sum is never negative: this keeps the compiler from waiting for the products with the
    // values before the exponentials are there.
    group.release_keys(state.sum[0] + state.sum[1] < 0 ? kStages : 0);
  };

  group.wait_for_keys();
  start(scores);
  group.take_turn();
  pin(scores);
  begin_products();
  group.multiply_keys(scores);
  group.pass_turn();
  wait_for_products<0>();
  weigh(unit.first, k_scale[unit.first]);
  round_weights(scores, weights);
  for (int j = unit.first + 1; j < unit.last; ++j) {
    const float tile_scale = k_scale[j];
    group.wait_for_keys();
    group.wait_for_values();
    start(scores);
    group.take_turn();
    pin(scores);
    pin(result);
    begin_products();
    group.multiply_keys(scores);
    group.multiply_with_values(result, weights);
    group.pass_turn();
    wait_for_products<1>();
    weigh(j, tile_scale);
    wait_for_products<0>();
    pin(result);
    group.release_values();
    multiply_rows(result, factor);
    round_weights(scores, weights);
  }
  group.wait_for_values();
  pin(result);
  begin_products();
  group.multiply_with_values(result, weights);
  wait_for_products<0>();
  pin(result);
  group.release_values();
  group.store_results(result, state, unit);
}

/// With weights in e4m3: scores, weights, values, one after the other. With 8-bit weights there are
/// registers for a third group, and while one waits for products two others compute.
__device__ inline void attend_unit(Group<E4m3>& group, const Unit& unit) {
  Shared<E4m3>& shared = group.shared;
  const float *const k_scale = group.k_scales(unit), *const q_scale = group.q_scales(unit);
  const float row_scale[2] = {q_scale[0], q_scale[8]};

  float result[64] = {};
  uint32_t scores[64];
  RowState state = {{-INFINITY, -INFINITY}, {0, 0}};
  const auto multiply_next_keys = [&] {
    start(scores);
    group.wait_for_keys();
    pin(scores);
    begin_products();
    group.multiply_keys(scores);
    wait_for_products<0>();
    pin(scores);
  };

  group.wait_for_queries();
  multiply_next_keys();
#pragma unroll 1
  for (int j = unit.first;; ++j) {
    const float tile_scale = k_scale[j];
    group.release_keys();
    group.hide_missing(scores, j);
    const float scale[2] = {row_scale[0] * tile_scale, row_scale[1] * tile_scale};
    float factor[2];
    E4m3::Weights weights;
    soften<E4m3>(scores, scale, state, factor);
    round_weights(scores, weights);
    multiply_rows(result, factor);

    group.wait_for_values();
    pin(result);
    begin_products();
    group.multiply_with_values(result, weights);
    wait_for_products<0>();
    pin(result);
    group.release_values();
    if (j + 1 == unit.last) break;
    multiply_next_keys();
  }
  release(shared.q_empty);
  group.store_results(result, state, unit);
}

}  // namespace fluxq::cuda::attention8
