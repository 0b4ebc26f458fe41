#include "quant/formats/cuda_arrange_qkv.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_qkv.h"

namespace fluxq::cuda {
namespace {

constexpr int kThreads = 128;

struct Parts {
  Rows q, k, v;
};

/// A block copies a row, 16 bytes at a time. `size`: bytes of an element.
__global__ void arrange_kernel(const Parts parts, int heads, int64_t size, const Rows to) {
  const auto row = static_cast<int>(blockIdx.x);
  const int tile = row / kQkvTileColumns, place = row % kQkvTileColumns;
  const bool is_v = place >= kQkvDim, is_k = tile >= heads;
  const Rows& part = is_v ? parts.v : is_k ? parts.k : parts.q;
  const int part_row = is_v ? tile * kQkvTileValues + qkv_column(place - kQkvDim)
                            : tile % heads * kQkvDim + qkv_column(place);
  const auto vectors_of = [size](const Rows& rows, int64_t index) {
    return reinterpret_cast<uint4*>(static_cast<char*>(rows.data) + index * rows.row_stride * size);
  };
  const uint4* const from = vectors_of(part, part_row);
  uint4* const there = vectors_of(to, row);
  const int64_t count = to.cols * size / static_cast<int64_t>(sizeof(uint4));
  for (int64_t i = threadIdx.x; i < count; i += kThreads) there[i] = from[i];
}

}  // namespace

void arrange_qkv(CudaKernels& kernels, const Rows& q, const Rows& k, const Rows& v, int64_t heads,
                 const Rows& to) {
  arrange_kernel<<<static_cast<unsigned>(to.rows), kThreads, 0, kernels.stream()>>>(
      {q, k, v}, static_cast<int>(heads), dtype_bytes(to.dtype), to);
  check_launch("arranging the weights of q, k and v");
}

}  // namespace fluxq::cuda
