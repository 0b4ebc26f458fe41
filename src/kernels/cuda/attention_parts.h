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
  int tiles, heads;  // [heads, tiles] of queries, and as many tiles of keys
  int whole;         // tiles of queries that see all keys
  int parts;         // of each of the others
  float* results;    // [batch, others, parts, 128, 128]: sums of weight * value
  float2* rows;      // [batch, others, parts, 128]: reference and sum of weights

  __host__ __device__ int others() const { return tiles * heads - whole; }
  __host__ __device__ int units() const { return whole + others() * parts; }
};

/// With memory from the arena.
AttentionParts share_out(CudaKernels& kernels, int batch, int tiles, int heads);

/// out bf16 = the others' results, of their parts together.
void merge_parts(CudaKernels& kernels, const AttentionParts& parts, const Rows& out);

}  // namespace fluxq::cuda
