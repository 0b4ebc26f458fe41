#include "kernels/cuda/check.h"
#include "kernels/cuda/conv_kernels.h"

namespace fluxq::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kPieceElements = 8;  // of 16 bytes

/// One thread for each piece of a phase, [height, width] pixels of `pieces`: parts [B, height + 1,
/// width + 1], picture [B, 2 height, 2 width].
template <bool kGather>
__global__ void copy_phase(int4* parts, int4* picture, int height, int width, int pieces, int row,
                           int col) {
  const int at = blockIdx.x * kThreads + threadIdx.x, y = blockIdx.y;
  if (at >= width * pieces) return;
  const int64_t batch = blockIdx.z;
  const int x = at / pieces, piece = at % pieces;
  int4& part = parts[((batch * (height + 1) + y + row) * (width + 1) + x + col) * pieces + piece];
  int4& pixel = picture[((batch * height + y) * 2 + row) * 2 * width * pieces +
                        (2 * x + col) * pieces + piece];
  if (kGather)
    part = pixel;
  else
    pixel = part;
}

template <bool kGather>
void copy(const Tensor& parts, const Tensor& pictures, int64_t row, int64_t col,
          cudaStream_t stream) {
  const int64_t height = pictures.dim(1) / 2, width = pictures.dim(2) / 2;
  const int64_t pieces = pictures.dim(3) / kPieceElements;
  const dim3 grid(static_cast<unsigned>((width * pieces + kThreads - 1) / kThreads),
                  static_cast<unsigned>(height), static_cast<unsigned>(pictures.dim(0)));
  copy_phase<kGather><<<grid, kThreads, 0, stream>>>(
      static_cast<int4*>(parts.raw()), static_cast<int4*>(pictures.raw()), static_cast<int>(height),
      static_cast<int>(width), static_cast<int>(pieces), static_cast<int>(row),
      static_cast<int>(col));
  check_launch("copying a quarter of a picture");
}

}  // namespace

void gather_phase(const Tensor& pictures, int64_t row, int64_t col, const Tensor& parts,
                  cudaStream_t stream) {
  copy<true>(parts, pictures, row, col, stream);
}

void spread_phase(const Tensor& parts, int64_t row, int64_t col, const Tensor& pictures,
                  cudaStream_t stream) {
  copy<false>(parts, pictures, row, col, stream);
}

}  // namespace fluxq::cuda
