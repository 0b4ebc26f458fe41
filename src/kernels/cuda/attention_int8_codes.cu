#include "kernels/cuda/attention_int8.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/cuda/hadamard.cuh"

namespace fluxq::cuda {
namespace {

// A block has a tile of one head's q or k; 16 lanes with 8 columns each have a row.
constexpr int kDim = kInt8Dim, kTile = kInt8Tile, kThreads = 256;
constexpr int kSlots = kThreads / kHadamardLanes, kRowsEach = kTile / kSlots;
constexpr float kLargestCode = 127;

/// Rows up to `split` are the first stream's.
struct Norms {
  const bf16* weight[2];
};
struct Encoding {
  Rows x[2];      // q and k
  Norms norm[2];  // theirs
  int8_t* codes[2];
  float* scales[2];
  const float* rope;
  float eps, q_factor;
  int64_t split;
};

__device__ uint32_t magnitude_bits(const float (&v)[kChunk]) {
  uint32_t bits = 0;
#pragma unroll
  for (int j = 0; j < kChunk; ++j) bits = max(bits, __float_as_uint(v[j]) & 0x7fffffffu);
  return bits;
}

/// The largest code stands for `largest`; a tile of zeros has any scale.
__device__ float scale_for(float largest) {
  return largest > 0 || isnan(largest) ? largest / kLargestCode : 1.0f;
}

__device__ uint2 codes_of(const float (&v)[kChunk], float inverse) {
  uint32_t words[2] = {};
#pragma unroll
  for (int j = 0; j < kChunk; ++j)
    words[j / 4] |= (static_cast<uint32_t>(__float2int_rn(v[j] * inverse)) & 0xffu) << j % 4 * 8;
  return {words[0], words[1]};
}

__global__ void __launch_bounds__(kThreads, 2) encode_tiles(const Encoding e) {
  __shared__ WarpSlots slots;
  const int part = static_cast<int>(blockIdx.z % 2);
  const int64_t b = blockIdx.z / 2, head = blockIdx.y, tile = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x) % kHadamardLanes;
  const int slot = static_cast<int>(threadIdx.x) / kHadamardLanes;
  const int col = lane * kChunk;
  const Rows& x = e.x[part];

  float values[kRowsEach][kChunk];
  uint32_t largest[kRowsEach];
#pragma unroll
  for (int i = 0; i < kRowsEach; ++i) {
    const int64_t row = tile * kTile + i * kSlots + slot;
    const bool exists = row < x.rows;
    load_chunk<true>(row_of<bf16>(x, b, exists ? row : 0) + head * kDim + col, exists ? kChunk : 0,
                     values[i]);
  }
#pragma unroll
  for (int i = 0; i < kRowsEach; ++i) {
    const int64_t row = tile * kTile + i * kSlots + slot;
    const bool exists = row < x.rows;
    float weight[kChunk], angles[kChunk];
    load_chunk<true>(e.norm[part].weight[row < e.split ? 0 : 1] + col, kChunk, weight);
    load_chunk<true>(e.rope + (exists ? row : 0) * kDim + col, kChunk, angles);
    float squares = 0;
#pragma unroll
    for (int j = 0; j < kChunk; ++j) squares += values[i][j] * values[i][j];
#pragma unroll
    for (int offset = kHadamardLanes / 2; offset > 0; offset /= 2)
      squares += __shfl_xor_sync(kWholeWarp, squares, offset);
    constexpr float kNorm = 0.0883883476f;  // 1 / sqrt(128) for the transform
    const float inverse = kNorm / sqrtf(squares / kDim + e.eps);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) values[i][j] *= inverse * weight[j];
#pragma unroll
    for (int j = 0; j < kChunk; j += 2)
      rotate(values[i][j], values[i][j + 1], angles[j], angles[j + 1]);
    hadamard_128(values[i], lane);
    largest[i] = magnitude_bits(values[i]);
  }

  const int64_t tile_index = (b * gridDim.y + head) * gridDim.x + tile;
  float scale[kRowsEach];
  if (part == 0) {
#pragma unroll
    for (int i = 0; i < kRowsEach; ++i) {
#pragma unroll
      for (int offset = kHadamardLanes / 2; offset > 0; offset /= 2)
        largest[i] = max(largest[i], __shfl_xor_sync(kWholeWarp, largest[i], offset));
      scale[i] = scale_for(__uint_as_float(largest[i]));
      if (lane == 0) e.scales[0][tile_index * kTile + i * kSlots + slot] = scale[i] * e.q_factor;
    }
  } else {
    uint32_t most = 0;
#pragma unroll
    for (int i = 0; i < kRowsEach; ++i) most = max(most, largest[i]);
    const float all = scale_for(__uint_as_float(block_max(most, slots)));
#pragma unroll
    for (int i = 0; i < kRowsEach; ++i) scale[i] = all;
    if (threadIdx.x == 0) e.scales[1][tile_index] = all;
  }

  int8_t* const codes = e.codes[part] + tile_index * kTile * kDim;
#pragma unroll
  for (int i = 0; i < kRowsEach; ++i) {
    const int row = i * kSlots + slot;
    const int piece = lane / 2 ^ row % 8;
    *reinterpret_cast<uint2*>(codes + row * kDim + piece * 16 + lane % 2 * 8) =
        codes_of(values[i], __frcp_rn(scale[i]));
  }
}

}  // namespace

Int8Codes take_int8_codes(CudaKernels& kernels, int64_t batch, int64_t rows, int64_t heads) {
  Arena& arena = kernels.arena();
  const int64_t tiles = (rows + kTile - 1) / kTile;
  return {.q = arena.take(DType::i8, {batch, heads, tiles, kInt8Tile, kInt8Dim}),
          .k = arena.take(DType::i8, {batch, heads, tiles, kInt8Tile, kInt8Dim}),
          .q_scale = arena.take(DType::f32, {batch, heads, tiles * kInt8Tile}),
          .k_scale = arena.take(DType::f32, {batch, heads, tiles})};
}

void encode_int8(CudaKernels& kernels, const JointAttention& args, const Int8Codes& codes) {
  if (args.q.rows == 0) return;
  constexpr float kLog2E = 1.44269504f;
  const JointAttention::Stream &first = args.streams.front(), &last = args.streams.back();
  const Encoding encoding = {.x = {args.q, args.k},
                             .norm = {{{first.q_weight.data<bf16>(), last.q_weight.data<bf16>()}},
                                      {{first.k_weight.data<bf16>(), last.k_weight.data<bf16>()}}},
                             .codes = {codes.q.data<int8_t>(), codes.k.data<int8_t>()},
                             .scales = {codes.q_scale.data<float>(), codes.k_scale.data<float>()},
                             .rope = args.rope.data<float>(),
                             .eps = args.eps,
                             .q_factor = args.scale * kLog2E,
                             .split = first.count};
  const dim3 grid = {static_cast<unsigned>(codes.q.dim(2)), static_cast<unsigned>(args.heads),
                     static_cast<unsigned>(2 * args.q.batch)};
  encode_tiles<<<grid, kThreads, 0, kernels.stream()>>>(encoding);
  check_launch("encode_int8");
}

}  // namespace fluxq::cuda
