#include "kernels/cuda/attention_parts.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/device_values.cuh"

namespace fluxq::cuda {
namespace {

constexpr int kTile = kInt8Tile, kDim = kInt8Dim, kThreads = 256, kRowsOfBlock = kThreads / 32;

/// A warp has a row, a lane four of its columns.
__global__ void __launch_bounds__(kThreads) merge(const AttentionParts p, const Rows out) {
  constexpr int kBlocksOfTile = kTile / kRowsOfBlock;
  const int other = static_cast<int>(blockIdx.x) / kBlocksOfTile, item = p.whole + other;
  const int head = item / p.tiles;
  const int64_t b = blockIdx.y;
  const int row = static_cast<int>(blockIdx.x) % kBlocksOfTile * kRowsOfBlock + warp_of_thread();
  const int64_t out_row = int64_t{item % p.tiles} * kTile + row;
  if (out_row >= out.rows) return;
  const int64_t first = (b * p.others() + other) * p.parts * kTile + row;  // row of the first part

  float reference = -INFINITY;
  for (int i = 0; i < p.parts; ++i) reference = fmaxf(reference, p.rows[first + i * kTile].x);
  float sum = 0, values[4] = {};
  for (int i = 0; i < p.parts; ++i) {
    const float2 part = p.rows[first + i * kTile];
    const float4 result =
        reinterpret_cast<const float4*>(p.results + (first + i * kTile) * kDim)[lane_of_thread()];
    const float weight = exp2f(part.x - reference);
    sum = __fmaf_rn(weight, part.y, sum);
    values[0] = __fmaf_rn(weight, result.x, values[0]);
    values[1] = __fmaf_rn(weight, result.y, values[1]);
    values[2] = __fmaf_rn(weight, result.z, values[2]);
    values[3] = __fmaf_rn(weight, result.w, values[3]);
  }
  const int col = head * kDim + 4 * lane_of_thread();
#pragma unroll
  for (int j = 0; j < 4; ++j) values[j] *= 1.0f / sum;
  auto* const to = reinterpret_cast<__nv_bfloat162*>(row_of<bf16>(out, b, out_row) + col);
  to[0] = __floats2bfloat162_rn(values[0], values[1]);
  to[1] = __floats2bfloat162_rn(values[2], values[3]);
}

}  // namespace

AttentionParts share_out(CudaKernels& kernels, int batch, int tiles, int heads) {
  const int items = tiles * heads, others = items % kernels.multiprocessors();
  AttentionParts p = {.tiles = tiles,
                      .heads = heads,
                      .whole = items - others,
                      .parts = others > 0 ? std::min(tiles, kernels.multiprocessors() / others) : 1,
                      .results = nullptr,
                      .rows = nullptr};
  if (p.parts == 1) p.whole = items;
  if (p.others() == 0) return p;
  const int64_t rows = int64_t{batch} * p.others() * p.parts * kTile;
  p.results = kernels.arena().take(DType::f32, {rows, kDim}).data<float>();
  p.rows = reinterpret_cast<float2*>(kernels.arena().take(DType::f32, {rows, 2}).data<float>());
  return p;
}

void merge_parts(CudaKernels& kernels, const AttentionParts& parts, const Rows& out) {
  if (parts.others() == 0) return;
  const dim3 grid = {static_cast<unsigned>(parts.others() * kTile / kRowsOfBlock),
                     static_cast<unsigned>(out.batch)};
  merge<<<grid, kThreads, 0, kernels.stream()>>>(parts, out);
  check_launch("merge_parts");
}

}  // namespace fluxq::cuda
