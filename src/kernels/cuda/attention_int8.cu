#include "kernels/cuda/attention_int8.h"

#include <cudaTypedefs.h>

#include "base/error.h"
#include "kernels/cuda/attention_parts.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/cuda/hopper.cuh"

// As FlashAttention-3 (Shah et al. 2024): blocks stay and take one tile of 128 queries after the
// other. One thread copies tiles of keys and values into a ring; two warpgroups have 64 queries
// each, and take turns: while one computes exponentials, the tensor cores work for the other.
// Each also keeps its own tensor work in flight: the next tile's scores are multiplied before the
// weights of this one.

namespace fluxq::cuda {
namespace {

using namespace hopper;

constexpr int kDim = kInt8Dim, kTile = kInt8Tile, kStages = 4;
constexpr int kGroupThreads = 128, kGroups = 2, kGroupRows = kTile / kGroups;
constexpr int kThreads = (1 + kGroups) * kGroupThreads;
constexpr int kCodeBytes = kTile * kDim;    // of a tile of q, k, or v as codes
constexpr int kHalfBytes = kTile * 64 * 2;  // of a tile of v in bf16: 64 columns
constexpr int kProducerRegisters = 24, kGroupRegisters = 240;

// An s32 sum n that began at kOneAndAHalf reads as the float kOffset + n, for |n| < 2^22.
constexpr uint32_t kOneAndAHalf = 0x4b400000;
constexpr float kOffset = 12582912.0f;  // 1.5 * 2^23

/// What weights are rounded to, and values are. A weight is 2^(score - reference + kShift); the
/// reference follows the row's maximum only when that has grown by more than kSlack: room above.
struct Bf16 {
  static constexpr float kSlack = 8, kShift = 0;
  static constexpr int kValueBytes = 2 * kHalfBytes;  // [2 halves of 64 columns, 128 rows, 64]
  using Weights = uint32_t[32];
};
struct E4m3 {
  static constexpr float kSlack = 2, kShift = 6;  // at most 2^8 of 448; below 2^-6 bits are lost
  static constexpr int kValueBytes = kCodeBytes;  // [128 columns, 128 rows]
  using Weights = uint32_t[16];
};

template <typename T>
struct Shared {
  int8_t q[kCodeBytes];
  int8_t k[kStages][kCodeBytes];
  uint8_t v[kStages][T::kValueBytes];
  Barrier q_full, q_empty, k_full[kStages], k_empty[kStages], v_full[kStages], v_empty[kStages];
};
template <typename T>
constexpr int kSharedBytes = sizeof(Shared<T>) + 1024;  // aligned to 1024 by the kernel

struct Work {
  const int8_t *q, *k;
  const float *q_scale, *k_scale;
  const uint8_t* v;  // E4m3's
  const float* v_scale;
  Rows out;
  AttentionParts parts;
  int units;
};

/// A tile of queries and tiles [first, last) of keys. Tiles of one head follow each other, so that
/// blocks that run together share keys and values.
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
    tile = item % p.tiles;
    head = item / p.tiles;
    head_index = picture * p.heads + head;
    first = part * p.tiles / parts;
    last = (part + 1) * p.tiles / parts;
    place = whole ? -1 : int64_t{picture} * p.others() * p.parts + after;
  }
};

template <typename T>
__device__ void produce(const Work& work, const CUtensorMap& values, Shared<T>& shared) {
  RingPosition<kStages> at;
  uint32_t q_parity = 0;
  for (int index = static_cast<int>(blockIdx.x); index < work.units;
       index += static_cast<int>(gridDim.x)) {
    const Unit unit(work, index);
    wait(shared.q_empty, q_parity ^ 1);
    q_parity ^= 1;
    arrive_expecting(shared.q_full, kCodeBytes);
    const int64_t first_tile = int64_t{unit.head_index} * work.parts.tiles;
    copy_bulk(shared.q, work.q + (first_tile + unit.tile) * kCodeBytes, kCodeBytes, shared.q_full);
#pragma unroll 1
    for (int j = unit.first; j < unit.last; ++j, at.advance()) {
      wait(shared.k_empty[at.slot], at.parity ^ 1);
      arrive_expecting(shared.k_full[at.slot], kCodeBytes);
      const int64_t code = (first_tile + j) * kCodeBytes;
      copy_bulk(shared.k[at.slot], work.k + code, kCodeBytes, shared.k_full[at.slot]);
      wait(shared.v_empty[at.slot], at.parity ^ 1);
      arrive_expecting(shared.v_full[at.slot], T::kValueBytes);
      if constexpr (std::is_same_v<T, E4m3>) {
        copy_bulk(shared.v[at.slot], work.v + code, kCodeBytes, shared.v_full[at.slot]);
      } else {
        for (int half = 0; half < 2; ++half)
          copy_box(shared.v[at.slot] + half * kHalfBytes, values, unit.head * kDim + half * 64,
                   j * kTile, unit.picture, shared.v_full[at.slot]);
      }
    }
  }
}

__device__ float exp2_of(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

/// Two rows of a thread: row 0 is lane / 4 of its warp's 16, row 1 is 8 further down.
struct RowState {
  float reference[2], sum[2];  // sums are of this thread's columns
};

/// Scores (as they come from the tensor cores) become weights, not yet rounded. `factor` is what
/// the results so far have to be multiplied by.
template <typename T>
__device__ void soften(uint32_t (&scores)[64], const float (&scale)[2], RowState& state,
                       float (&factor)[2]) {
  int most[2] = {INT_MIN, INT_MIN};
#pragma unroll
  for (int i = 0; i < 64; i += 4)
#pragma unroll
    for (int h = 0; h < 2; ++h)
      most[h] = __vimax3_s32(most[h], static_cast<int>(scores[i + 2 * h]),
                             static_cast<int>(scores[i + 2 * h + 1]));
  float offset[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    most[h] = max(most[h], __shfl_xor_sync(0xffffffffu, most[h], 1));
    most[h] = max(most[h], __shfl_xor_sync(0xffffffffu, most[h], 2));
    const float largest = (__int_as_float(most[h]) - kOffset) * scale[h];
    const float old = state.reference[h];
    if (largest > old + T::kSlack) state.reference[h] = largest;
    factor[h] = exp2_of(old - state.reference[h]);
    offset[h] = T::kShift - __fmaf_rn(kOffset, scale[h], state.reference[h]);
    state.sum[h] *= factor[h];
  }
#pragma unroll
  for (int i = 0; i < 64; ++i) {
    const int h = i / 2 % 2;
    const float weight = exp2_of(__fmaf_rn(__uint_as_float(scores[i]), scale[h], offset[h]));
    state.sum[h] += weight;
    scores[i] = __float_as_uint(weight);
  }
}

__device__ void hide_missing_keys(uint32_t (&scores)[64], int keys) {
  const int first = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int i = 0; i < 64; ++i)
    if (i / 4 * 8 + first + i % 2 >= keys) scores[i] = 0xff800000u;  // -infinity, and a low integer
}

__device__ void round_weights(const uint32_t (&weights)[64], uint32_t (&rounded)[32]) {
#pragma unroll
  for (int i = 0; i < 32; ++i)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;"
        : "=r"(rounded[i])
        : "f"(__uint_as_float(weights[2 * i + 1])), "f"(__uint_as_float(weights[2 * i])));
}

/// The four weights of a word are those of keys 8 u + c and 8 u + c + 1 for two u and this thread's
/// c: Int8Codes::v has keys in the order in which the tensor cores take them.
__device__ void round_weights(const uint32_t (&weights)[64], uint32_t (&rounded)[16]) {
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const int first = i / 2 * 8 + i % 2 * 2;
    asm("{\n"
        ".reg .b16 low, high;\n"
        "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\n"
        "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
        "mov.b32 %0, {low, high};\n"
        "}\n"
        : "=r"(rounded[i])
        : "f"(__uint_as_float(weights[first])), "f"(__uint_as_float(weights[first + 1])),
          "f"(__uint_as_float(weights[first + 4])), "f"(__uint_as_float(weights[first + 5])));
  }
}

__device__ void multiply_scores(uint32_t (&scores)[64], uint64_t q, uint64_t k) {
#pragma unroll
  for (int step = 0; step < kDim / 32; ++step)
    add_product_s8(scores, moved(q, step * 32), moved(k, step * 32));
  commit_products();
}

__device__ void multiply_values(float (&result)[64], const uint32_t (&weights)[32], uint64_t v) {
#pragma unroll
  for (int step = 0; step < kTile / 16; ++step)
    add_product_bf16(result, weights[4 * step], weights[4 * step + 1], weights[4 * step + 2],
                     weights[4 * step + 3], moved(v, step * 16 * 128));
  commit_products();
}

__device__ void multiply_values(float (&result)[64], const uint32_t (&weights)[16], uint64_t v) {
#pragma unroll
  for (int step = 0; step < kTile / 32; ++step)
    add_product_e4m3(result, weights[4 * step], weights[4 * step + 1], weights[4 * step + 2],
                     weights[4 * step + 3], moved(v, step * 32));
  commit_products();
}

__device__ void start(uint32_t (&scores)[64]) {
#pragma unroll
  for (uint32_t& score : scores) score = kOneAndAHalf;
}

__device__ void release(Barrier& empty) {
  if (threadIdx.x % 32 == 0) arrive(empty);
}

__device__ float sum_of_row(const RowState& state, int h) {
  float sum = state.sum[h];
  sum += __shfl_xor_sync(0xffffffffu, sum, 1);
  sum += __shfl_xor_sync(0xffffffffu, sum, 2);
  return sum;
}

/// `row` is the thread's first one of the tile.
__device__ void store_part(const float (&result)[64], const RowState& state, const Work& work,
                           const Unit& unit, int row) {
  const int first_col = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int64_t place = unit.place * kTile + row + 8 * h;
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
  const int row = unit.tile * kTile + row_of_tile;
  bf16* const out = static_cast<bf16*>(work.out.data) + unit.picture * work.out.batch_stride +
                    unit.head * kDim + first_col;
  const int64_t column = int64_t{unit.head_index} * kDim + first_col;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float inverse = 1.0f / sum_of_row(state, h);
    if (row + 8 * h >= work.out.rows) continue;
    bf16* const to = out + (row + 8 * h) * work.out.row_stride;
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      float2 pair = {result[4 * j + 2 * h] * inverse, result[4 * j + 2 * h + 1] * inverse};
      if constexpr (std::is_same_v<T, E4m3>) {
        const auto scale = *reinterpret_cast<const float2*>(work.v_scale + column + 8 * j);
        pair = {pair.x * scale.x, pair.y * scale.y};
      }
      *reinterpret_cast<__nv_bfloat162*>(to + 8 * j) = __float22bfloat162_rn(pair);
    }
  }
}

template <typename T>
__device__ void consume(const Work& work, Shared<T>& shared, int group) {
  const int mine = 1 + group, others = 1 + (group ^ 1);  // named barriers: whose turn it is
  constexpr int kBoth = kGroups * kGroupThreads;
  const uint64_t q = swizzled_operand(shared_address(shared.q) + group * kGroupRows * kDim);
  const uint64_t k = swizzled_operand(shared_address(shared.k));
  const uint64_t v = std::is_same_v<T, E4m3>
                         ? swizzled_operand(shared_address(shared.v))
                         : swizzled_operand(shared_address(shared.v), kHalfBytes);
  const int row =
      group * kGroupRows + static_cast<int>(threadIdx.x) % kGroupThreads / 32 * 16 +
      static_cast<int>(threadIdx.x) % 32 / 4;  // of the tile, and the one 8 further down
  const int tiles = work.parts.tiles;
  const int last_keys = static_cast<int>(work.out.rows) - (tiles - 1) * kTile;
  RingPosition<kStages> keys, values;
  uint32_t q_parity = 0;
  if (group == 1) arrive_named(others, kBoth);  // group 0 begins

  for (int index = static_cast<int>(blockIdx.x); index < work.units;
       index += static_cast<int>(gridDim.x)) {
    const Unit unit(work, index);
    const float* const k_scale = work.k_scale + int64_t{unit.head_index} * tiles;
    const float* const q_scale =
        work.q_scale + (int64_t{unit.head_index} * tiles + unit.tile) * kTile + row;
    const float row_scale[2] = {q_scale[0], q_scale[8]};

    float result[64] = {};
    uint32_t scores[64];
    typename T::Weights weights;
    RowState state = {{-INFINITY, -INFINITY}, {0, 0}};
    float factor[2];

    wait(shared.q_full, q_parity);
    q_parity ^= 1;
    const auto weigh = [&](int j, float tile_scale) {  // scores that are there become weights
      pin(scores);
      if (j == unit.last - 1) release(shared.q_empty);
      if (j == tiles - 1 && last_keys < kTile) hide_missing_keys(scores, last_keys);
      const float scale[2] = {row_scale[0] * tile_scale, row_scale[1] * tile_scale};
      soften<T>(scores, scale, state, factor);
      // A sum is never negative: this keeps the compiler from waiting for the products with the
      // values before the exponentials are there.
      release(shared.k_empty[keys.slot + (state.sum[0] + state.sum[1] < 0 ? kStages : 0)]);
      keys.advance();
    };

    wait(shared.k_full[keys.slot], keys.parity);
    start(scores);
    sync_named(mine, kBoth);
    pin(scores);
    begin_products();
    multiply_scores(scores, q, moved(k, keys.slot * kCodeBytes));
    arrive_named(others, kBoth);
    wait_for_products<0>();
    weigh(unit.first, k_scale[unit.first]);
    round_weights(scores, weights);
    for (int j = unit.first + 1; j < unit.last; ++j) {
      const float tile_scale = k_scale[j];
      wait(shared.k_full[keys.slot], keys.parity);
      wait(shared.v_full[values.slot], values.parity);
      start(scores);
      sync_named(mine, kBoth);
      pin(scores);
      pin(result);
      begin_products();
      multiply_scores(scores, q, moved(k, keys.slot * kCodeBytes));
      multiply_values(result, weights, moved(v, values.slot * T::kValueBytes));
      arrive_named(others, kBoth);
      wait_for_products<1>();
      weigh(j, tile_scale);
      wait_for_products<0>();
      pin(result);
      release(shared.v_empty[values.slot]);
      values.advance();
      if (__any_sync(0xffffffffu, !(factor[0] == 1 && factor[1] == 1))) {
#pragma unroll
        for (int i = 0; i < 64; ++i) result[i] *= factor[i / 2 % 2];
      }
      round_weights(scores, weights);
    }
    wait(shared.v_full[values.slot], values.parity);
    pin(result);
    begin_products();
    multiply_values(result, weights, moved(v, values.slot * T::kValueBytes));
    wait_for_products<0>();
    pin(result);
    release(shared.v_empty[values.slot]);
    values.advance();
    if (unit.place < 0)
      store<T>(result, state, work, unit, row);
    else
      store_part(result, state, work, unit, row);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 1)
    attend(const Work work, const __grid_constant__ CUtensorMap values) {
  extern __shared__ uint8_t memory[];
  auto& shared =
      *reinterpret_cast<Shared<T>*>(memory + ((1024 - shared_address(memory) % 1024) % 1024));
  if (threadIdx.x == 0) {
    constexpr int kWarps = kGroups * kGroupThreads / 32;  // that release
    init(shared.q_full, 1);
    init(shared.q_empty, kWarps);
    for (int i = 0; i < kStages; ++i) {
      init(shared.k_full[i], 1);
      init(shared.v_full[i], 1);
      init(shared.k_empty[i], kWarps);
      init(shared.v_empty[i], kWarps);
    }
    publish_barriers();
  }
  __syncthreads();
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (group == 0) {
    give_registers_back<kProducerRegisters>();
    if (threadIdx.x == 0) produce<T>(work, values, shared);
  } else {
    take_registers<kGroupRegisters>();
    consume<T>(work, shared, group - 1);
  }
}

/// v in boxes of 128 rows and 64 columns; rows past the end are zeros.
CUtensorMap map_of(const Rows& v) {
  static const auto encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                           cudaEnableDefault, &found),
          "the driver's tensor maps");
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
  }();
  if (encode == nullptr)
    fail(ErrorCode::driver_too_old, "int8 attention: the driver has no tensor maps");
  CUtensorMap map;
  const auto cols = static_cast<cuuint64_t>(v.cols), rows = static_cast<cuuint64_t>(v.rows);
  const cuuint64_t sizes[3] = {cols, rows, static_cast<cuuint64_t>(v.batch)};
  const auto row_bytes = static_cast<cuuint64_t>(v.row_stride * 2);
  const cuuint64_t strides[2] = {
      row_bytes, v.batch > 1 ? static_cast<cuuint64_t>(v.batch_stride * 2) : row_bytes * rows};
  const cuuint32_t box[3] = {64, kTile, 1}, steps[3] = {1, 1, 1};
  const CUresult status =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, v.data, sizes, strides, box, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS)
    fail(ErrorCode::internal, "int8 attention: the driver refused the map of v, status {}",
         static_cast<int>(status));
  return map;
}

template <typename T>
void launch(CudaKernels& kernels, const Work& work, const CUtensorMap& values) {
  static const cudaError_t has_memory =
      cudaFuncSetAttribute(attend<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes<T>);
  check(has_memory, "int8 attention's shared memory");
  const int blocks = std::min(work.units, kernels.multiprocessors());
  attend<T><<<static_cast<unsigned>(blocks), kThreads, kSharedBytes<T>, kernels.stream()>>>(work,
                                                                                            values);
  check_launch("attention_int8");
  merge_parts(kernels, work.parts, std::is_same_v<T, E4m3> ? work.v_scale : nullptr, work.out);
}

}  // namespace

bool suits_int8(const JointAttention& a) {
  const auto suits = [](const Rows& x) { return x.dtype == DType::bf16 && has_aligned_chunks(x); };
  return a.q.cols == a.heads * kInt8Dim && a.q.rows > 0 && a.streams.size() <= 2 && suits(a.q) &&
         suits(a.k) && suits(a.v) && suits(a.out);
}

void attention_int8(CudaKernels& kernels, const Int8Codes& codes, const Rows& v, const Rows& out) {
  const auto batch = static_cast<int>(codes.q.dim(0)), heads = static_cast<int>(codes.q.dim(1));
  Arena::Scope scope(kernels.arena());
  const AttentionParts parts = share_out(kernels, batch, static_cast<int>(codes.q.dim(2)), heads);
  const Work work = {.q = codes.q.data<int8_t>(),
                     .k = codes.k.data<int8_t>(),
                     .q_scale = codes.q_scale.data<float>(),
                     .k_scale = codes.k_scale.data<float>(),
                     .v = static_cast<const uint8_t*>(codes.v.raw()),
                     .v_scale = codes.v_scale.data<float>(),
                     .out = out,
                     .parts = parts,
                     .units = parts.units() * batch};
  if (codes.v.empty())
    launch<Bf16>(kernels, work, map_of(v));
  else
    launch<E4m3>(kernels, work, {});
}

}  // namespace fluxq::cuda
