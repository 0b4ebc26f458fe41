#include "kernels/cuda/check.h"
#include "kernels/cuda/conv_kernels.h"

namespace fluxq::cuda {
namespace {

constexpr int kThreads = 128;

/// One thread for each piece of x: read once, written four times.
template <typename Piece>
__global__ void upsample_piece(const Piece* x, int width, int pieces, Piece* out) {
  const int at = blockIdx.x * kThreads + threadIdx.x;
  if (at >= width * pieces) return;
  const int row = blockIdx.y, col = at / pieces, piece = at % pieces;
  const Piece value = x[static_cast<int64_t>(row) * width * pieces + at];
  const int64_t row_pieces = int64_t{2} * width * pieces;
  Piece* to = out + 2 * row * row_pieces + int64_t{2} * col * pieces + piece;
  to[0] = to[pieces] = to[row_pieces] = to[row_pieces + pieces] = value;
}

template <typename Piece>
void upsample_by(const void* x, int height, int width, int64_t pixel_bytes, void* out,
                 cudaStream_t stream) {
  const int pieces = static_cast<int>(pixel_bytes / static_cast<int64_t>(sizeof(Piece)));
  const int64_t row_pieces = int64_t{width} * pieces;
  const dim3 grid(static_cast<unsigned>((row_pieces + kThreads - 1) / kThreads),
                  static_cast<unsigned>(height));
  upsample_piece<<<grid, kThreads, 0, stream>>>(static_cast<const Piece*>(x), width, pieces,
                                                static_cast<Piece*>(out));
  check_launch("doubling a picture");
}

}  // namespace

void upsample_nearest(const void* x, int height, int width, int64_t pixel_bytes, void* out,
                      cudaStream_t stream) {
  if (pixel_bytes % 16 == 0)
    upsample_by<int4>(x, height, width, pixel_bytes, out, stream);
  else if (pixel_bytes % 4 == 0)
    upsample_by<int>(x, height, width, pixel_bytes, out, stream);
  else
    upsample_by<short>(x, height, width, pixel_bytes, out, stream);
}

}  // namespace fluxq::cuda
