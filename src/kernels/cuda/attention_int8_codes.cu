#include <algorithm>

#include "kernels/cuda/attention_codes.cuh"
#include "kernels/cuda/attention_int8.h"
#include "kernels/cuda/check.h"

namespace fluxq::cuda {
namespace {

// A block has a tile of one head's q, k or v; 16 lanes with 8 columns each have a row.
constexpr int kDim = kInt8Dim, kTile = kInt8Tile, kThreads = 512;
constexpr int kSlots = kThreads / kHadamardLanes, kRowsEach = kTile / kSlots;

/// What a stream's q and k are; coded where its v is, too.
enum class Made : uint8_t { not_yet, normed, coded };

struct Norms {
  const bf16* weight[2];  // of the streams
};
/// Rows up to `split` are the first stream's.
struct Encoding {
  Rows x[2];      // q and k
  Norms norm[2];  // theirs
  Made made[2];   // of the streams
  int8_t* codes[2];
  float* scales[2];
  const float* rope;
  float eps, q_factor;
  int64_t split;
  Rows v;
  uint8_t* v_codes;  // or null
  int parts;         // q, k and perhaps v
  __device__ int stream_of(int64_t row) const { return row < split ? 0 : 1; }
};

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
    const int stream = e.stream_of(row);
    const bool normed = e.made[stream] == Made::normed;
    float weight[kChunk], angles[kChunk];
    load_chunk<true>(e.norm[part].weight[stream] + col, kChunk, weight);
    load_chunk<true>(e.rope + (exists ? row : 0) * kDim + col, kChunk, angles);
    float squares = 0;
#pragma unroll
    for (int j = 0; j < kChunk; ++j) squares += values[i][j] * values[i][j];
#pragma unroll
    for (int offset = kHadamardLanes / 2; offset > 0; offset /= 2)
      squares += __shfl_xor_sync(kWholeWarp, squares, offset);
    const float inverse = normed ? 1.0f : rsqrtf(squares * (1.0f / kDim) + e.eps);
#pragma unroll
    for (int j = 0; j < kChunk; ++j)
      values[i][j] *= kHadamardNorm * inverse * (normed ? 1.0f : weight[j]);
#pragma unroll
    for (int j = 0; j < kChunk; j += 2)
      rotate(values[i][j], values[i][j + 1], normed ? 1.0f : angles[j],
             normed ? 0.0f : angles[j + 1]);
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

/// Codes change from rows to columns in shared memory: a thread has two words of four rows of its
/// columns; word w lies at w ^ 2 lane, so that a warp's words are in different banks.
__device__ void encode_values(const Encoding& e, int64_t b) {
  __shared__ alignas(16) uint32_t words[kDim][kTile / 4];
  const int64_t head = blockIdx.y, tile = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x) % kHadamardLanes;
  const int slot = static_cast<int>(threadIdx.x) / kHadamardLanes;
  const int col = lane * kChunk;
  const auto row_of_code = [&](int word, int i) {  // the order of Int8Codes::v
    return tile * kTile + word / 4 * 16 + word % 4 * 2 + i / 2 * 8 + i % 2;
  };

  constexpr int kWordsEach = kRowsEach / 4;
  uint4 packed[kWordsEach][4];
#pragma unroll
  for (int n = 0; n < kWordsEach; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t row = row_of_code(n * kSlots + slot, i);
      const bf16* const from = row_of<bf16>(e.v, b, row) + head * kDim + col;
      packed[n][i] = row < e.v.rows ? *reinterpret_cast<const uint4*>(from) : uint4{};
    }
#pragma unroll
  for (int n = 0; n < kWordsEach; ++n) {
    const int word = n * kSlots + slot;
    float values[4][kChunk];
#pragma unroll
    for (int i = 0; i < 4; ++i) unpack_bf16(packed[n][i], values[i]);
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
  const int part = static_cast<int>(blockIdx.z) % e.parts;
  const int64_t b = static_cast<int>(blockIdx.z) / e.parts;
  if (e.made[e.stream_of(int64_t{blockIdx.x} * kTile)] == Made::coded) return;
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
  Int8Codes codes;
  codes.q = arena.take(DType::i8, {batch, heads, tiles, kInt8Tile, kInt8Dim});
  codes.k = arena.take(DType::i8, {batch, heads, tiles, kInt8Tile, kInt8Dim});
  codes.q_scale = arena.take(DType::f32, {batch, heads, tiles * kInt8Tile});
  codes.k_scale = arena.take(DType::f32, {batch, heads, tiles});
  if (args.precision == AttentionPrecision::fp8)
    codes.v = arena.take(DType::f8_e4m3, {batch, heads, tiles, kInt8Dim, kInt8Tile});
  return codes;
}

float q_scale_factor(const JointAttention& args) {
  constexpr float kLog2E = 1.44269504f;
  return args.scale * kLog2E;
}

void encode_int8(CudaKernels& kernels, const JointAttention& args, const Int8Codes& codes) {
  const auto made = [&args](const JointAttention::Stream& stream) {
    return !stream.normed ? Made::not_yet : args.codes ? Made::coded : Made::normed;
  };
  const auto is_coded = [&](const auto& stream) { return made(stream) == Made::coded; };
  if (args.q.rows == 0 || std::ranges::all_of(args.streams, is_coded)) return;
  const JointAttention::Stream &first = args.streams.front(), &last = args.streams.back();
  const Encoding encoding = {.x = {args.q, args.k},
                             .norm = {{{first.q_weight.data<bf16>(), last.q_weight.data<bf16>()}},
                                      {{first.k_weight.data<bf16>(), last.k_weight.data<bf16>()}}},
                             .made = {made(first), made(last)},
                             .codes = {codes.q.data<int8_t>(), codes.k.data<int8_t>()},
                             .scales = {codes.q_scale.data<float>(), codes.k_scale.data<float>()},
                             .rope = args.rope.data<float>(),
                             .eps = args.eps,
                             .q_factor = q_scale_factor(args),
                             .split = first.count,
                             .v = args.v,
                             .v_codes = static_cast<uint8_t*>(codes.v.raw()),
                             .parts = codes.v.empty() ? 2 : 3};
  const dim3 grid = {static_cast<unsigned>(codes.q.dim(2)), static_cast<unsigned>(args.heads),
                     static_cast<unsigned>(encoding.parts * args.q.batch)};
  encode_tiles<<<grid, kThreads, 0, kernels.stream()>>>(encoding);
  check_launch("encode_int8");
}

}  // namespace fluxq::cuda
