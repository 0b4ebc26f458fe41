#include "kernels/cuda/attention_parts.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/device_values.cuh"

namespace fluxq::cuda {
namespace {

constexpr int kDim = kInt8Dim, kThreads = 256, kRowsOfBlock = kThreads / 32;

/// A warp has a row, a lane four of its columns.
__global__ void __launch_bounds__(kThreads) merge(const AttentionParts p, const Rows out) {
  const int blocks_of_tile = p.query_rows / kRowsOfBlock;
  const int other = static_cast<int>(blockIdx.x) / blocks_of_tile, item = p.whole + other;
  const int head = item / p.query_tiles;
  const int64_t b = blockIdx.y;
  const int row = static_cast<int>(blockIdx.x) % blocks_of_tile * kRowsOfBlock + warp_of_thread();
  const int64_t out_row = int64_t{item % p.query_tiles} * p.query_rows + row;
  if (out_row >= out.rows) return;
  const int64_t first =
      (b * p.others() + other) * p.parts * p.query_rows + row;  // row of the first part

  float reference = -INFINITY;
  for (int i = 0; i < p.parts; ++i)
    reference = fmaxf(reference, p.rows[first + i * p.query_rows].x);
  float sum = 0, values[4] = {};
  for (int i = 0; i < p.parts; ++i) {
    const float2 part = p.rows[first + i * p.query_rows];
    const float4 result = reinterpret_cast<const float4*>(p.results + (first + i * p.query_rows) *
                                                                          kDim)[lane_of_thread()];
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

AttentionParts share_out(CudaKernels& kernels, int batch, int rows, int heads, int query_rows) {
  const int tiles = (rows + kInt8Tile - 1) / kInt8Tile,
            query_tiles = (rows + query_rows - 1) / query_rows;
  const int items = query_tiles * heads, others = items % kernels.multiprocessors();
  AttentionParts p = {.tiles = tiles,
                      .query_tiles = query_tiles,
                      .heads = heads,
                      .query_rows = query_rows,
                      .whole = items - others,
                      .parts = others > 0 ? std::min(tiles, kernels.multiprocessors() / others) : 1,
                      .results = nullptr,
                      .rows = nullptr};
  if (p.parts == 1) p.whole = items;
  if (p.others() == 0) return p;
  const int64_t part_rows = int64_t{batch} * p.others() * p.parts * query_rows;
  p.results = kernels.arena().take(DType::f32, {part_rows, kDim}).data<float>();
  p.rows =
      reinterpret_cast<float2*>(kernels.arena().take(DType::f32, {part_rows, 2}).data<float>());
  return p;
}

void merge_parts(CudaKernels& kernels, const AttentionParts& parts, const Rows& out) {
  if (parts.others() == 0) return;
  const dim3 grid = {static_cast<unsigned>(parts.others() * parts.query_rows / kRowsOfBlock),
                     static_cast<unsigned>(out.batch)};
  merge<<<grid, kThreads, 0, kernels.stream()>>>(parts, out);
  check_launch("merge_parts");
}

}  // namespace fluxq::cuda
