/// Parts of 8-bit attention's kernel: what its blocks work on, and where.
#pragma once

#include <type_traits>

#include "kernels/cuda/attention_parts.h"
#include "kernels/cuda/hopper.cuh"

namespace fluxq::cuda::attention8 {

using namespace hopper;

constexpr int kDim = kInt8Dim, kTile = kInt8Tile, kStages = 4;
constexpr int kGroupThreads = 128, kGroupRows = 64;  // a group has so many queries of a tile
constexpr int kCodeBytes = kTile * kDim;             // of a tile of k, or of v as codes
constexpr int kHalfBytes = kTile * 64 * 2;           // of a tile of v in bf16: 64 columns

/// What weights are rounded to, and values are. A weight is 2^(score - reference + kShift); the
/// reference follows the row's maximum only when that has grown by more than kSlack: room above.
struct Bf16 {
  static constexpr int kGroups = 2, kGroupRegisters = 240;
  static constexpr float kSlack = 8, kShift = 0;
  static constexpr int kValueBytes = 2 * kHalfBytes;  // [2 halves of 64 columns, 128 rows, 64]
  using Weights = uint32_t[32];
};
struct E4m3 {
  static constexpr int kGroups = 3, kGroupRegisters = 160;
  static constexpr float kSlack = 2, kShift = 6;  // at most 2^8 of 448; below 2^-6 bits are lost
  static constexpr int kValueBytes = kCodeBytes;  // [128 columns, 128 rows]
  using Weights = uint32_t[16];
};

/// Groups that multiply, and one more that copies.
template <typename T>
constexpr int kThreads = (1 + T::kGroups) * kGroupThreads;
template <typename T>
constexpr int kQueryRows = T::kGroups* kGroupRows;

template <typename T>
struct Shared {
  int8_t q[kQueryRows<T> * kDim];
  int8_t k[kStages][kCodeBytes];
  uint8_t v[kStages][T::kValueBytes];
  Barrier q_full, q_empty, k_full[kStages], k_empty[kStages], v_full[kStages], v_empty[kStages];
};

struct Work {
  const int8_t *q, *k;
  const float *q_scale, *k_scale;
  const uint8_t* v;  // E4m3's
  Rows out;
  AttentionParts parts;
  int units;
};

/// Tile `tile` of queries and tiles [first, last) of keys. Tiles of one head follow each other, so
/// that blocks that run together share keys and values.
struct Unit {
  int tile, head, picture, head_index, first, last;
  int64_t place;  // of its results among those of parts, or -1: it sees all keys
  __device__ Unit(const Work& work, int index) {
    const AttentionParts& p = work.parts;
    picture = index / p.units();
    const int unit = index % p.units(), after = unit - p.whole;
    const bool whole = after < 0;
    const int item = whole ? unit : p.whole + after / p.parts;
    const int part = whole ? 0 : after % p.parts, parts = whole ? 1 : p.parts;
    tile = item % p.query_tiles;
    head = item / p.query_tiles;
    head_index = picture * p.heads + head;
    first = part * p.tiles / parts;
    last = (part + 1) * p.tiles / parts;
    place = whole ? -1 : int64_t{picture} * p.others() * p.parts + after;
  }
};

__device__ inline void release(Barrier& empty) {
  if (threadIdx.x % 32 == 0) arrive(empty);
}

}  // namespace fluxq::cuda::attention8
