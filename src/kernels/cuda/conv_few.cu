/// A convolution to fewer than 8 channels as a product on tensor cores (mma m16n8k16): 16 pixels of
/// a row times all channels out, of which those that are missing are zero. A block holds a tile of
/// the picture and its surroundings in shared memory, some channels at a time; several blocks on a
/// multiprocessor hide each other's loading.
#include <cuda_bf16.h>

#include "kernels/cuda/check.h"
#include "kernels/cuda/conv_kernels.h"

namespace fluxq::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTileRows = kThreads / 32, kTileCols = 32;  // a warp has one row: two products wide
constexpr int kProducts = kTileCols / 16;
constexpr int kFilters = 8;
constexpr int kChannels = 64;                 // in shared memory at a time
constexpr int kPieces = kChannels / 8;        // of 16 bytes
constexpr int kFilterStride = kChannels + 8;  // spreads the filters over the banks

template <int kKernel>
struct Tile {
  static constexpr int kHalo = kKernel / 2, kTaps = kKernel * kKernel;
  static constexpr int kRows = kTileRows + 2 * kHalo, kCols = kTileCols + 2 * kHalo;
  __nv_bfloat16 pixels[kRows * kCols * kChannels];
  __nv_bfloat16 weights[kTaps * kFilters * kFilterStride];
};

/// Where piece `piece` of a pixel lies: neighbours' pieces are in different banks.
__device__ int piece_of(int pixel, int piece) {
  return pixel * kChannels + (piece ^ (pixel % kPieces)) * 8;
}

__device__ unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

/// 16 bytes into shared memory, asynchronously; zeros where not `given`.
__device__ void copy_piece(void* to, const void* from, bool given) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(given ? 16 : 0)
               : "memory");
}

__device__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/// A 16 x 16 matrix, each lane naming half a row.
__device__ void load_matrix(unsigned (&a)[4], const void* half_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
               : "r"(shared_address(half_row))
               : "memory");
}

__device__ void multiply_add(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Channels [first, first + channels) of the tile that starts at (row, col), and of the weight.
template <int kKernel>
__device__ void load(Tile<kKernel>& tile, const Convolution& conv, int row, int col, int first,
                     int channels) {
  using Sizes = Tile<kKernel>;
  const auto* x = static_cast<const __nv_bfloat16*>(conv.x);
  for (int t = threadIdx.x; t < Sizes::kRows * Sizes::kCols * kPieces; t += kThreads) {
    const int pixel = t / kPieces, piece = t % kPieces;
    const int y = row + pixel / Sizes::kCols - Sizes::kHalo;
    const int x_col = col + pixel % Sizes::kCols - Sizes::kHalo;
    const bool inside =
        y >= 0 && y < conv.height && x_col >= 0 && x_col < conv.width && piece * 8 < channels;
    const int64_t at =
        (static_cast<int64_t>(y) * conv.width + x_col) * conv.in_channels + first + piece * 8;
    copy_piece(tile.pixels + piece_of(pixel, piece), inside ? x + at : x, inside);
  }
  const auto* weight = static_cast<const __nv_bfloat16*>(conv.weight);
  for (int t = threadIdx.x; t < Sizes::kTaps * kFilters * kPieces; t += kThreads) {
    const int piece = t % kPieces, filter = t / kPieces % kFilters, tap = t / (kPieces * kFilters);
    const bool given = filter < conv.out_channels && piece * 8 < channels;
    const int64_t at =
        (static_cast<int64_t>(filter) * Sizes::kTaps + tap) * conv.in_channels + first + piece * 8;
    copy_piece(tile.weights + (tap * kFilters + filter) * kFilterStride + piece * 8,
               given ? weight + at : weight, given);
  }
}

template <int kKernel>
__global__ void __launch_bounds__(kThreads, 4) conv_tile(Convolution conv) {
  using Sizes = Tile<kKernel>;
  extern __shared__ __align__(128) unsigned char memory[];
  Sizes& tile = *reinterpret_cast<Sizes*>(memory);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int first_row = blockIdx.y * kTileRows, first_col = blockIdx.x * kTileCols;

  float sums[kProducts][4] = {};
  for (int first = 0; first < conv.in_channels; first += kChannels) {
    const int channels = min(kChannels, conv.in_channels - first);
    load<kKernel>(tile, conv, first_row, first_col, first, channels);
    wait_for_copies();
    __syncthreads();
#pragma unroll
    for (int tap = 0; tap < Sizes::kTaps; ++tap)
      for (int c = 0; c < channels; c += 16) {
        const __nv_bfloat16* b =
            tile.weights + (tap * kFilters + lane / 4) * kFilterStride + c + lane % 4 * 2;
        const unsigned b0 = *reinterpret_cast<const unsigned*>(b);
        const unsigned b1 = *reinterpret_cast<const unsigned*>(b + 8);
#pragma unroll
        for (int product = 0; product < kProducts; ++product) {
          const int pixel =
              (warp + tap / kKernel) * Sizes::kCols + tap % kKernel + product * 16 + lane % 16;
          unsigned a[4];
          load_matrix(a, tile.pixels + piece_of(pixel, c / 8 + lane / 16));
          multiply_add(sums[product], a, b0, b1);
        }
      }
    __syncthreads();
  }

  const int row = first_row + warp;
  const auto* bias = static_cast<const __nv_bfloat16*>(conv.bias);
  const auto* residual = static_cast<const __nv_bfloat16*>(conv.residual);
  for (int product = 0; product < kProducts; ++product)
    for (int i = 0; i < 4; ++i) {
      const int col = first_col + product * 16 + lane / 4 + i / 2 * 8;
      const int filter = lane % 4 * 2 + i % 2;
      if (row >= conv.height || col >= conv.width || filter >= conv.out_channels) continue;
      const int64_t at =
          (static_cast<int64_t>(row) * conv.width + col) * conv.out_channels + filter;
      float sum = sums[product][i] + __bfloat162float(bias[filter]);
      if (residual) sum += __bfloat162float(residual[at]);
      static_cast<__nv_bfloat16*>(conv.out)[at] = __float2bfloat16_rn(sum);
    }
}

template <int kKernel>
void launch(const Convolution& conv, cudaStream_t stream) {
  constexpr int kBytes = sizeof(Tile<kKernel>);
  check(
      cudaFuncSetAttribute(conv_tile<kKernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
      "shared memory for a convolution");
  const dim3 grid(static_cast<unsigned>((conv.width + kTileCols - 1) / kTileCols),
                  static_cast<unsigned>((conv.height + kTileRows - 1) / kTileRows));
  conv_tile<kKernel><<<grid, kThreads, kBytes, stream>>>(conv);
  check_launch("a convolution to few channels");
}

}  // namespace

bool suits_conv_few(const Convolution& conv) {
  return conv.dtype == DType::bf16 && !conv.upsample && conv.in_channels % 16 == 0 &&
         conv.out_channels < kFilters;
}

void conv_few(const Convolution& conv, cudaStream_t stream) {
  if (conv.kernel == 3)
    launch<3>(conv, stream);
  else
    launch<1>(conv, stream);
}

}  // namespace fluxq::cuda
