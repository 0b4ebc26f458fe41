#include <cuda_fp8.h>

#include "kernels/cuda/attention_int8.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/cuda/hadamard.cuh"

namespace fluxq::cuda {
namespace {

// A block has a tile of one head's q, k or v; 16 lanes with 8 columns each have a row.
constexpr int kDim = kInt8Dim, kTile = kInt8Tile, kThreads = 512;
constexpr int kSlots = kThreads / kHadamardLanes, kRowsEach = kTile / kSlots;
constexpr float kLargestCode = 127;

constexpr int kSampledRows = 64;            // of v
constexpr float kSampleLimit = 448 / 32.f;  // the largest code among them: room above, bits below

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
  Rows v;
  uint8_t* v_codes;  // or null
  float* v_scale;
  __host__ __device__ int parts() const { return v_codes ? 3 : 2; }
};

__device__ uint32_t magnitude_bits(const float (&v)[kChunk]) {
  uint32_t bits = 0;
#pragma unroll
  for (int j = 0; j < kChunk; ++j) bits = max(bits, __float_as_uint(v[j]) & 0x7fffffffu);
  return bits;
}

/// The largest code stands for `largest`; a tile of zeros has any scale.
__device__ float scale_for(float largest) {
  return largest > 0 || isnan(largest) ? largest * (1 / kLargestCode) : 1.0f;
}

__device__ uint2 codes_of(const float (&v)[kChunk], float inverse) {
  uint32_t words[2] = {};
#pragma unroll
  for (int j = 0; j < kChunk; ++j)
    words[j / 4] |= (static_cast<uint32_t>(__float2int_rn(v[j] * inverse)) & 0xffu) << j % 4 * 8;
  return {words[0], words[1]};
}

__device__ void encode_scores(const Encoding& e, int part, int64_t b) {
  __shared__ WarpSlots slots;
  const int64_t head = blockIdx.y, tile = blockIdx.x;
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
    const float inverse = kNorm * rsqrtf(squares * (1.0f / kDim) + e.eps);
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
        codes_of(values[i], __fdividef(1.0f, scale[i]));
  }
}

__device__ uint32_t e4m3_pair(float low, float high) {
  return __nv_cvt_float2_to_fp8x2({low, high}, __NV_SATFINITE, __NV_E4M3);
}

/// Every tile of a head takes its columns' scales from the same sample of rows. Codes change from
/// rows to columns in shared memory: a thread has two words of four rows of its columns; word w
/// lies at w ^ 2 lane, so that a warp's words are in different banks.
__device__ void encode_values(const Encoding& e, int64_t b) {
  __shared__ alignas(16) float sampled[kThreads / 32][kDim];
  __shared__ alignas(16) uint32_t words[kDim][kTile / 4];
  const int64_t head = blockIdx.y, tile = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x) % kHadamardLanes;
  const int slot = static_cast<int>(threadIdx.x) / kHadamardLanes;
  const int col = lane * kChunk;
  const auto row_at = [&](int64_t row) {
    return *reinterpret_cast<const uint4*>(row_of<bf16>(e.v, b, row) + head * kDim + col);
  };
  const auto row_of_code = [&](int word, int i) {  // the order of Int8Codes::v
    return tile * kTile + word / 4 * 16 + word % 4 * 2 + i / 2 * 8 + i % 2;
  };

  constexpr int kSamplesEach = kSampledRows / kSlots, kWordsEach = kRowsEach / 4;
  uint4 sample[kSamplesEach], packed[kWordsEach][4];
#pragma unroll
  for (int i = 0; i < kSamplesEach; ++i)
    sample[i] = row_at((i * kSlots + slot) * e.v.rows / kSampledRows);
#pragma unroll
  for (int n = 0; n < kWordsEach; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t row = row_of_code(n * kSlots + slot, i);
      packed[n][i] = row_at(row < e.v.rows ? row : 0);
    }

  float largest[kChunk] = {}, inverse[kChunk], values[4][kChunk];
#pragma unroll
  for (int i = 0; i < kSamplesEach; ++i) {
    unpack_bf16(sample[i], values[0]);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) largest[j] = fmaxf(largest[j], fabsf(values[0][j]));
  }
#pragma unroll
  for (float& x : largest) x = fmaxf(x, __shfl_xor_sync(kWholeWarp, x, kHadamardLanes));
  if (slot % 2 == 0) store_chunk<true>(largest, kChunk, sampled[slot / 2] + col);
  __syncthreads();
#pragma unroll
  for (const auto& warp : sampled) {
    load_chunk<true>(warp + col, kChunk, values[0]);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) largest[j] = fmaxf(largest[j], values[0][j]);
  }
#pragma unroll
  for (int j = 0; j < kChunk; ++j) {
    const bool usable = largest[j] > 1e-30f && isfinite(largest[j]);
    inverse[j] = usable ? __fdividef(kSampleLimit, largest[j]) : 1.0f;
    values[0][j] = usable ? largest[j] * (1 / kSampleLimit) : 1.0f;
  }
  if (tile == 0 && slot == 0)
    store_chunk<true>(values[0], kChunk, e.v_scale + (b * gridDim.y + head) * kDim + col);

#pragma unroll
  for (int n = 0; n < kWordsEach; ++n) {
    const int word = n * kSlots + slot;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool exists = row_of_code(word, i) < e.v.rows;
      unpack_bf16(packed[n][i], values[i]);
#pragma unroll
      for (int j = 0; j < kChunk; ++j) values[i][j] = exists ? values[i][j] * inverse[j] : 0.0f;
    }
#pragma unroll
    for (int j = 0; j < kChunk; ++j)
      words[col + j][word ^ 2 * lane] =
          e4m3_pair(values[0][j], values[1][j]) | e4m3_pair(values[2][j], values[3][j]) << 16;
  }

  __syncthreads();
  const int64_t tile_index = (b * gridDim.y + head) * gridDim.x + tile;
  auto* const to = reinterpret_cast<uint4*>(e.v_codes + tile_index * kTile * kDim);
#pragma unroll
  for (int i = 0; i < kTile * kDim / 16 / kThreads; ++i) {
    const int index = i * kThreads + static_cast<int>(threadIdx.x);
    const int c = index / 8, piece = index % 8 ^ c % 8, owner = c / kChunk;  // owner: its lane
    const uint4 x = reinterpret_cast<const uint4*>(words[c])[piece ^ owner / 2];
    to[index] = owner % 2 == 0 ? x : uint4{x.z, x.w, x.x, x.y};
  }
}

__global__ void __launch_bounds__(kThreads, 2) encode_tiles(const Encoding e) {
  const int part = static_cast<int>(blockIdx.z) % e.parts();
  const int64_t b = static_cast<int>(blockIdx.z) / e.parts();
  if (part == 2)
    encode_values(e, b);
  else
    encode_scores(e, part, b);
}

}  // namespace

Int8Codes take_int8_codes(CudaKernels& kernels, const JointAttention& args) {
  Arena& arena = kernels.arena();
  const int64_t batch = args.q.batch, heads = args.heads;
  const int64_t tiles = (args.q.rows + kTile - 1) / kTile;
  Int8Codes codes = {.q = arena.take(DType::i8, {batch, heads, tiles, kInt8Tile, kInt8Dim}),
                     .k = arena.take(DType::i8, {batch, heads, tiles, kInt8Tile, kInt8Dim}),
                     .q_scale = arena.take(DType::f32, {batch, heads, tiles * kInt8Tile}),
                     .k_scale = arena.take(DType::f32, {batch, heads, tiles})};
  if (args.precision == AttentionPrecision::fp8) {
    codes.v = arena.take(DType::f8_e4m3, {batch, heads, tiles, kInt8Dim, kInt8Tile});
    codes.v_scale = arena.take(DType::f32, {batch, heads * kInt8Dim});
  }
  return codes;
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
                             .split = first.count,
                             .v = args.v,
                             .v_codes = static_cast<uint8_t*>(codes.v.raw()),
                             .v_scale = codes.v_scale.data<float>()};
  const dim3 grid = {static_cast<unsigned>(codes.q.dim(2)), static_cast<unsigned>(args.heads),
                     static_cast<unsigned>(encoding.parts() * args.q.batch)};
  encode_tiles<<<grid, kThreads, 0, kernels.stream()>>>(encoding);
  check_launch("encode_int8");
}

}  // namespace fluxq::cuda
