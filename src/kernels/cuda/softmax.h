/// Softmax over rows of attention scores.
#pragma once

#include <cuda_runtime.h>

#include "tensor/dtype.h"

namespace fluxq::cuda {

/// Scores of some queries in all heads: [heads, queries, keys] f32, with `stride` elements from one
/// row to the next, a multiple of 4; rows begin at multiples of 16 bytes.
struct Scores {
  float* data = nullptr;
  int64_t heads = 0, queries = 0, keys = 0, stride = 0;
};

/// What is added to scores: of the first query and key in head 0, and how far apart heads and
/// queries are. f32.
struct ScoreBias {
  const float* data = nullptr;  ///< or null
  int64_t head_stride = 0, query_stride = 0;
};

/// Turns each row of scores into softmax(row + bias), f32 or bf16 (`weights`), in place: row r of
/// the weights begins where row r of the scores did; what follows a row's keys in it is lost.
/// `causal`: row r sees keys 0 .. first_query + r only, its other weights are 0. A row with a NaN
/// becomes all NaN.
void softmax_rows(const Scores& scores, const ScoreBias& bias, bool causal, int64_t first_query,
                  DType weights, cudaStream_t stream);

}  // namespace fluxq::cuda
