/// Attention's tiles of queries shared out evenly. Of a picture's tiles, as many as make whole
/// rounds of the GPU see all keys; the keys of the others are divided into parts, so that the last
/// round is as short as its work. It depends on the picture's shape and the GPU only, not on the
/// batch.
#pragma once

#include "kernels/cuda/attention_int8.h"

namespace fluxq::cuda {

/// Units of work of a picture are numbered: first the tiles that see all keys, then part after part
/// of the others. Weights are powers of 2 of scores less a row's reference.
struct AttentionParts {
  int tiles;               // of a head's keys, 128 rows each
  int query_tiles, heads;  // [heads, query_tiles] of queries
  int query_rows;          // of a tile of queries
  int whole;               // tiles of queries that see all keys
  int parts;               // of each of the others
  float* results;          // [batch, others, parts, query_rows, 128]: sums of weight * value
  float2* rows;            // [batch, others, parts, query_rows]: reference and sum of weights

  __host__ __device__ int others() const { return query_tiles * heads - whole; }
  __host__ __device__ int units() const { return whole + others() * parts; }
};

/// Of `rows` queries, in tiles of `query_rows` (a multiple of 8), and as many keys. With memory
/// from the arena.
AttentionParts share_out(CudaKernels& kernels, int batch, int rows, int heads, int query_rows);

/// out bf16 = the others' results, of their parts together.
void merge_parts(CudaKernels& kernels, const AttentionParts& parts, const Rows& out);

}  // namespace fluxq::cuda
