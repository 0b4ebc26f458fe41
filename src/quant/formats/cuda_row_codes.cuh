/// What the kernels that quantize rows in registers share.
#pragma once

#include "kernels/cuda/row_producer.cuh"
#include "kernels/operands.h"
#include "quant/formats/cuda_encode.cuh"

namespace fluxq::cuda {

/// Errors: unsupported for rows that are too wide; internal if `codes` has not the input's shape or
/// is not of bytes.
inline void check_codes(const Producer& input, const Rows& codes) {
  Rows shape = codes;  // what check_produce says of an output's shape
  shape.dtype = input.x.dtype;
  check_produce(input, shape);
  if (dtype_bytes(codes.dtype) != 1)
    fail(ErrorCode::internal, "quantization on the GPU: expected codes of one byte, got {}",
         dtype_name(codes.dtype));
  check_row_cols("quantization", codes.cols);
}

inline bool has_aligned_codes(const Producer& input, const Rows& codes) {
  return has_aligned_chunks(input) && has_aligned_chunks(codes, kChunk);
}

template <bool kAligned, typename T, RowForm kForm, typename Encoder>
__device__ void store_row_codes(const RowPart<T, kForm>& part, const Encoder& encode,
                                const Rows& codes, const RowOfThread<kForm>& at) {
  using Part = RowPart<T, kForm>;
  const int cols = Part::cols_of(codes);
  uint8_t* to = row_of<uint8_t>(codes, at.batch, at.row);
#pragma unroll
  for (int i = 0; i < Part::kChunks; ++i) {
    float v[kChunk];
    part.get(i, v);
    store_codes<kAligned>(encode(v), Part::count(0, i, cols), to + Part::col(0, i));
  }
}

}  // namespace fluxq::cuda
