#include "kernels/cuda/check.h"
#include "kernels/cuda/ending.cuh"
#include "kernels/cuda/few_rows_gemm.h"

namespace fluxq::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kOutputs = 16;            // of a block: the rows of one mma
constexpr int kRows = 8;                // of x in one mma: its columns
constexpr int kMostTiles = 8;           // of kRows rows, in one block
constexpr int kStep = 128;              // bytes of each row that a warp takes at a time
constexpr int kHalf = 64, kPiece = 16;  // of these bytes: loaded by four threads, by one

struct Words {
  uint32_t word[4];  // kPiece bytes of a row
};

// The weight is read once: it should not push x out of the cache.
__device__ Words stream(const std::byte* from, bool inside) {
  Words words = {};
  if (inside) {
    const uint4 v = __ldcs(reinterpret_cast<const uint4*>(from));
    words = {{v.x, v.y, v.z, v.w}};
  }
  return words;
}
__device__ Words cached(const std::byte* from, bool inside) {
  Words words = {};
  if (inside) {
    const uint4 v = __ldg(reinterpret_cast<const uint4*>(from));
    words = {{v.x, v.y, v.z, v.w}};
  }
  return words;
}

// What tensor cores multiply: the type of a sum, and d [16, 8] += a [16, 32 bytes] b [8, 32
// bytes]^T. In registers all of them lie alike, four bytes of a row to a word.
struct Bf16 {
  using Sum = float;
  __device__ static void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                      uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};
struct E4m3 {
  using Sum = float;
  __device__ static void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                      uint32_t b1) {
    asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};
struct S8 {
  using Sum = int;
  __device__ static void multiply_add(int (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                      uint32_t b1) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};

struct Operands {
  const std::byte *x, *w;
  bf16* out;
  int64_t x_stride, w_stride;  // bytes from row to row
  int64_t out_stride;          // elements
  int64_t m, n, k;             // k: bytes
};

// A block has 16 outputs of kTiles * 8 rows. Its warps take the terms in turns of 128 bytes, and
// their sums are added in the warps' order. Within a turn a thread multiplies whatever terms it
// loaded from the weight with the same ones of x: which of the mma's terms they are does not matter
// to a sum.
template <typename Element, int kTiles>
__global__ void __launch_bounds__(kWarps * 32) few_rows_kernel(Operands p, Ending<bf16> ending) {
  using Sum = typename Element::Sum;
  __shared__ Sum partial[kWarps][kOutputs][kTiles * kRows];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int group = lane / 4, quarter = lane % 4;
  const int64_t first_out = int64_t{blockIdx.x} * kOutputs;
  const int64_t first_row = int64_t{blockIdx.y} * (kMostTiles * kRows);
  const int64_t upper = first_out + group, lower = upper + 8;
  const std::byte* w_upper = p.w + upper * p.w_stride;
  const std::byte* w_lower = p.w + lower * p.w_stride;
  Sum sum[kTiles][4] = {};
#pragma unroll 2
  for (int64_t begin = int64_t{warp} * kStep; begin < p.k; begin += kWarps * kStep) {
    Words up[2], low[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t at = begin + half * kHalf + quarter * kPiece;
      up[half] = stream(w_upper + at, at < p.k && upper < p.n);
      low[half] = stream(w_lower + at, at < p.k && lower < p.n);
    }
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const int64_t row = first_row + tile * kRows + group;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t at = begin + half * kHalf + quarter * kPiece;
        const Words x = cached(p.x + row * p.x_stride + at, at < p.k && row < p.m);
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
          const uint32_t w[4] = {up[half].word[i], low[half].word[i], up[half].word[i + 1],
                                 low[half].word[i + 1]};
          Element::multiply_add(sum[tile], w, x.word[i], x.word[i + 1]);
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
    Sum total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += partial[w][i % kOutputs][i / kOutputs];
    p.out[row * p.out_stride + col] = ending(static_cast<float>(total), row, 0, col);
  }
}

bool rows_aligned(const Rows& rows, int64_t stride) {
  return reinterpret_cast<uintptr_t>(rows.data) % kPiece == 0 &&
         stride * dtype_bytes(rows.dtype) % kPiece == 0;
}

template <typename Element>
void launch(CudaKernels& kernels, const Operands& operands, const Ending<bf16>& ending) {
  const int64_t rows_of_block = kMostTiles * kRows;
  const dim3 grid(static_cast<unsigned>((operands.n + kOutputs - 1) / kOutputs),
                  static_cast<unsigned>((operands.m + rows_of_block - 1) / rows_of_block));
  const auto kernel = operands.m <= kRows       ? few_rows_kernel<Element, 1>
                      : operands.m <= 2 * kRows ? few_rows_kernel<Element, 2>
                      : operands.m <= 4 * kRows ? few_rows_kernel<Element, 4>
                                                : few_rows_kernel<Element, kMostTiles>;
  kernel<<<grid, kWarps * 32, 0, kernels.stream()>>>(operands, ending);
  check_launch("a product of a few rows");
}

}  // namespace

bool few_rows_gemm_takes(const Rows& x, const Rows& w) {
  const bool is_known = x.dtype == DType::bf16 || x.dtype == DType::f8_e4m3 || x.dtype == DType::i8;
  return is_known && x.dtype == w.dtype && x.rows == 1 &&
         x.cols * dtype_bytes(x.dtype) % kPiece == 0 && rows_aligned(x, x.batch_stride) &&
         rows_aligned(w, w.row_stride);
}

void few_rows_gemm(CudaKernels& kernels, const Rows& x, const Rows& w, const RowScales& x_scale,
                   const RowScales& w_scale, const Epilogue& epilogue, const Rows& out) {
  const int64_t element = dtype_bytes(x.dtype);
  const Operands operands = {static_cast<const std::byte*>(x.data),
                             static_cast<const std::byte*>(w.data),
                             static_cast<bf16*>(out.data),
                             x.batch_stride * element,
                             w.row_stride * element,
                             out.batch_stride,
                             x.batch,
                             w.rows,
                             x.cols * element};
  // A row of x is a matrix of the batch.
  const ScaleVector of_x = {x_scale.values, 0, 1};
  const ScaleVector of_w = {w_scale.values, w_scale.one_for_all ? 0 : 1, 0};
  const Ending<bf16> ending(of_x, of_w, epilogue);
  if (x.dtype == DType::bf16)
    launch<Bf16>(kernels, operands, ending);
  else if (x.dtype == DType::i8)
    launch<S8>(kernels, operands, ending);
  else
    launch<E4m3>(kernels, operands, ending);
}

}  // namespace fluxq::cuda
