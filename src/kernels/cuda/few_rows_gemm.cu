#include "kernels/cuda/check.h"
#include "kernels/cuda/ending.cuh"
#include "kernels/cuda/few_rows_gemm.h"

namespace fluxq::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kOutputs = 16;   // of a block: the rows of one mma
constexpr int kRows = 8;       // of x in one mma: its columns
constexpr int kMostTiles = 8;  // of kRows rows, in one block
constexpr int kStep = 64;      // terms that a warp takes at a time: 128 bytes of each row

struct Words {
  uint32_t word[4];  // 8 bf16
};

// The weight is read once: it should not push x out of the cache.
__device__ Words stream(const bf16* from, bool inside) {
  Words words = {};
  if (inside) {
    const uint4 v = __ldcs(reinterpret_cast<const uint4*>(from));
    words = {{v.x, v.y, v.z, v.w}};
  }
  return words;
}
__device__ Words cached(const bf16* from, bool inside) {
  Words words = {};
  if (inside) {
    const uint4 v = __ldg(reinterpret_cast<const uint4*>(from));
    words = {{v.x, v.y, v.z, v.w}};
  }
  return words;
}

// d [16, 8] += a [16, 16] b [16, 8]
__device__ void multiply_add(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                             uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

struct Operands {
  const bf16 *x, *w;
  bf16* out;
  int64_t x_stride, w_stride, out_stride;  // from row to row
  int64_t m, n, k;
};

// A block has 16 outputs of kTiles * 8 rows. Its warps take the terms in turns of 64, and their
// sums are added in the warps' order. Within a turn a thread multiplies whatever 8 terms it loaded
// from the weight with the same 8 of x: which of the mma's terms they are does not matter to a sum.
template <int kTiles>
__global__ void __launch_bounds__(kWarps * 32) few_rows_kernel(Operands p, Ending<bf16> ending) {
  __shared__ float partial[kWarps][kOutputs][kTiles * kRows];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int group = lane / 4, quarter = lane % 4;
  const int64_t first_out = int64_t{blockIdx.x} * kOutputs;
  const int64_t first_row = int64_t{blockIdx.y} * (kMostTiles * kRows);
  const int64_t upper = first_out + group, lower = upper + 8;
  const bf16* w_upper = p.w + upper * p.w_stride;
  const bf16* w_lower = p.w + lower * p.w_stride;
  float sum[kTiles][4] = {};
#pragma unroll 2
  for (int64_t begin = int64_t{warp} * kStep; begin < p.k; begin += kWarps * kStep) {
    Words up[2], low[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t at = begin + half * 32 + quarter * 8;
      up[half] = stream(w_upper + at, at < p.k && upper < p.n);
      low[half] = stream(w_lower + at, at < p.k && lower < p.n);
    }
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const int64_t row = first_row + tile * kRows + group;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t at = begin + half * 32 + quarter * 8;
        const Words x = cached(p.x + row * p.x_stride + at, at < p.k && row < p.m);
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
          multiply_add(sum[tile], up[half].word[i], low[half].word[i], up[half].word[i + 1],
                       low[half].word[i + 1], x.word[i], x.word[i + 1]);
        }
      }
    }
  }
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      partial[warp][group + i / 2 * 8][tile * kRows + quarter * 2 + i % 2] = sum[tile][i];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kOutputs * kTiles * kRows; i += kWarps * 32) {
    const int64_t row = first_row + i / kOutputs, col = first_out + i % kOutputs;
    if (row >= p.m || col >= p.n) continue;
    float total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += partial[w][i % kOutputs][i / kOutputs];
    p.out[row * p.out_stride + col] = ending(total, row, 0, col);
  }
}

bool rows_aligned(const Rows& rows, int64_t stride) {
  return reinterpret_cast<uintptr_t>(rows.data) % 16 == 0 && stride % 8 == 0;
}

}  // namespace

bool few_rows_gemm_takes(const Rows& x, const Rows& w) {
  return x.dtype == DType::bf16 && w.dtype == DType::bf16 && x.cols % 8 == 0 &&
         rows_aligned(x, x.batch_stride) && rows_aligned(w, w.row_stride);
}

void few_rows_gemm(CudaKernels& kernels, const Rows& x, const Rows& w, const Epilogue& epilogue,
                   const Rows& out) {
  const Operands operands = {static_cast<const bf16*>(x.data),
                             static_cast<const bf16*>(w.data),
                             static_cast<bf16*>(out.data),
                             x.batch_stride,
                             w.row_stride,
                             out.batch_stride,
                             x.batch,
                             w.rows,
                             x.cols};
  const Ending<bf16> ending({}, {}, epilogue);
  const int64_t rows_of_block = kMostTiles * kRows;
  const dim3 grid(static_cast<unsigned>((w.rows + kOutputs - 1) / kOutputs),
                  static_cast<unsigned>((x.batch + rows_of_block - 1) / rows_of_block));
  const auto launch = [&](auto kernel) {
    kernel<<<grid, kWarps * 32, 0, kernels.stream()>>>(operands, ending);
    check_launch("a product of a few rows");
  };
  if (x.batch <= kRows) {
    launch(few_rows_kernel<1>);
  } else if (x.batch <= 2 * kRows) {
    launch(few_rows_kernel<2>);
  } else if (x.batch <= 4 * kRows) {
    launch(few_rows_kernel<4>);
  } else {
    launch(few_rows_kernel<kMostTiles>);
  }
}

}  // namespace fluxq::cuda
