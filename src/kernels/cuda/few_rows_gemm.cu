#include "kernels/cuda/check.h"
#include "kernels/cuda/ending.cuh"
#include "kernels/cuda/expand_s8.cuh"
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

// A piece of a weight's row as tensor cores take it, four bytes to a word; x lies alike.
template <int kPieces>
struct Terms {
  uint32_t word[4 * kPieces];
};

// What is multiplied: the type of a sum; how many pieces of x belong to one of the weight; the
// terms in such a piece; and d [16, 8] += a [16, 32 bytes] b [8, 32 bytes]^T.
struct AsTheyLie {
  static constexpr int kPiecesOfX = 1;
  __device__ static Terms<1> terms(const Words& w, float /*scale*/) {
    return {{w.word[0], w.word[1], w.word[2], w.word[3]}};
  }
};
struct Bf16 : AsTheyLie {
  using Sum = float;
  __device__ static void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                      uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};
struct E4m3 : AsTheyLie {
  using Sum = float;
  __device__ static void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                      uint32_t b1) {
    asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};
struct S8 : AsTheyLie {
  using Sum = int;
  __device__ static void multiply_add(int (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                      uint32_t b1) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};
// A weight in s8, expanded to the bf16 that x is in.
struct ExpandedS8 : Bf16 {
  static constexpr int kPiecesOfX = 2;
  __device__ static Terms<2> terms(const Words& w, float scale) {
    Terms<2> terms;
#pragma unroll
    for (int i = 0; i < 4; ++i) expand_s8(w.word[i], scale, &terms.word[2 * i]);
    return terms;
  }
};

struct Operands {
  const std::byte *x, *w;
  bf16* out;
  int64_t x_stride, w_stride;  // bytes from row to row
  int64_t out_stride;          // elements
  int64_t m, n, k;             // k: bytes of the weight
  const float* expanding;      // its scale [n] where it is expanded
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
  const float upper_scale = p.expanding && upper < p.n ? p.expanding[upper] : 0.0f;
  const float lower_scale = p.expanding && lower < p.n ? p.expanding[lower] : 0.0f;
  constexpr int kPiecesOfX = Element::kPiecesOfX;
  Sum sum[kTiles][4] = {};
#pragma unroll 2
  for (int64_t begin = int64_t{warp} * kStep; begin < p.k; begin += kWarps * kStep) {
    Terms<kPiecesOfX> up[2], low[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t at = begin + half * kHalf + quarter * kPiece;
      up[half] = Element::terms(stream(w_upper + at, at < p.k && upper < p.n), upper_scale);
      low[half] = Element::terms(stream(w_lower + at, at < p.k && lower < p.n), lower_scale);
    }
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const int64_t row = first_row + tile * kRows + group;
#pragma unroll
      for (int piece = 0; piece < 2 * kPiecesOfX; ++piece) {
        const int half = piece / kPiecesOfX, begin_of_x = piece % kPiecesOfX * kPiece;
        const int64_t at = begin + half * kHalf + quarter * kPiece;
        const Words x =
            cached(p.x + row * p.x_stride + at * kPiecesOfX + begin_of_x, at < p.k && row < p.m);
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
          const int word = piece % kPiecesOfX * 4 + i;
          const uint32_t w[4] = {up[half].word[word], low[half].word[word], up[half].word[word + 1],
                                 low[half].word[word + 1]};
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
  const auto known = [](DType dtype) {
    return dtype == DType::bf16 || dtype == DType::f8_e4m3 || dtype == DType::i8;
  };
  const bool alike = known(x.dtype) && x.dtype == w.dtype;
  const bool expands = x.dtype == DType::bf16 && w.dtype == DType::i8;
  return (alike || expands) && x.rows == 1 && w.cols * dtype_bytes(w.dtype) % kPiece == 0 &&
         rows_aligned(x, x.batch_stride) && rows_aligned(w, w.row_stride);
}

void few_rows_gemm(CudaKernels& kernels, const Rows& x, const Rows& w, const RowScales& x_scale,
                   const RowScales& w_scale, const Epilogue& epilogue, const Rows& out) {
  const bool expands = x.dtype != w.dtype;
  const Operands operands = {static_cast<const std::byte*>(x.data),
                             static_cast<const std::byte*>(w.data),
                             static_cast<bf16*>(out.data),
                             x.batch_stride * dtype_bytes(x.dtype),
                             w.row_stride * dtype_bytes(w.dtype),
                             out.batch_stride,
                             x.batch,
                             w.rows,
                             w.cols * dtype_bytes(w.dtype),
                             expands ? w_scale.values : nullptr};
  // A row of x is a matrix of the batch.
  const ScaleVector of_x = {x_scale.values, 0, 1};
  const ScaleVector of_w = {w_scale.values, w_scale.one_for_all ? 0 : 1, 0};
  const Ending<bf16> ending(of_x, expands ? ScaleVector{} : of_w, epilogue);
  if (expands)
    launch<ExpandedS8>(kernels, operands, ending);
  else if (x.dtype == DType::bf16)
    launch<Bf16>(kernels, operands, ending);
  else if (x.dtype == DType::i8)
    launch<S8>(kernels, operands, ending);
  else
    launch<E4m3>(kernels, operands, ending);
}

}  // namespace fluxq::cuda
