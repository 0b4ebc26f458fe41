/// Attention in tiles of queries: scores of a tile against all keys by one oneDNN product, softmax
/// in f32, one product with the values. Keys and values are arranged for these products once per
/// matrix and head. A tile's scores fill 64 rows of `keys` floats per thread: some megabytes at
/// 16,000 keys, and still little traffic beside the products, so keys are not streamed.
#include <cmath>
#include <cstring>

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/row_values.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd.h"
#include "kernels/operands.h"

namespace fluxq {
namespace {

using cpu::to_float, cpu::round_to;

// weights[i] = e^(scale * scores[i] + bias[i] - the largest of them), in P; returns their sum.
// f32 weights take the scores' place.
template <typename P>
FLUXQ_SIMD float softmax_weights(float* scores, float scale, const float* bias, int64_t keys,
                                 P* weights) {
  if (bias) {
#pragma omp simd
    for (int64_t i = 0; i < keys; ++i) scores[i] = scores[i] * scale + bias[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < keys; ++i) scores[i] *= scale;
  }
  const float largest = cpu::largest_of(scores, keys);
#pragma omp simd
  for (int64_t i = 0; i < keys; ++i) scores[i] = cpu::exp_of(scores[i] - largest);
  if constexpr (std::is_same_v<P, bf16>) {
#pragma omp simd
    for (int64_t i = 0; i < keys; ++i) weights[i] = round_to<P>(scores[i]);
  }
  return cpu::sum_of(scores, keys);
}

template <typename T>
FLUXQ_SIMD void divide_row(const float* values, float sum, int64_t count, T* out) {
  const float inverse = 1.0f / sum;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = round_to<T>(values[i] * inverse);
}

// One row of q or k, all its heads; buffer [cols]. All sums first: they do not wait for each other.
template <typename T>
FLUXQ_SIMD void norm_and_rotate(T* x, const T* weight, const float* rope, float eps, int64_t cols,
                                int64_t dim, float* buffer, float* factors) {
#pragma omp simd
  for (int64_t i = 0; i < cols; ++i) buffer[i] = to_float(x[i]);
  for (int64_t head = 0; head < cols / dim; ++head)
    factors[head] =
        1.0f /
        std::sqrt(cpu::sum_of_squares(buffer + head * dim, dim) / static_cast<float>(dim) + eps);
  for (int64_t head = 0; head < cols / dim; ++head) {
    float* v = buffer + head * dim;
    const float factor = factors[head];
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i)
      v[i] = cpu::rounded_through<T>(v[i] * factor * to_float(weight[i]));
#pragma omp simd
    for (int64_t i = 0; i < dim / 2; ++i) {
      const float even = v[2 * i], odd = v[2 * i + 1], cosine = rope[2 * i], sine = rope[2 * i + 1];
      v[2 * i] = even * cosine - odd * sine;
      v[2 * i + 1] = odd * cosine + even * sine;
    }
  }
#pragma omp simd
  for (int64_t i = 0; i < cols; ++i) x[i] = round_to<T>(buffer[i]);
}

/// Attention whose products run in T: the stream's type, or f32 for a bf16 stream where the
/// processor has no bf16 products.
template <typename Stream, typename T>
class AttentionRun {
  static constexpr GemmType kType = std::is_same_v<T, bf16> ? GemmType::bf16 : GemmType::f32;

 public:
  AttentionRun(CpuKernels& kernels, const Attention& args)
      : args_(args),
        dim_(args.q.cols / args.heads),
        keys_(args.k.rows),
        tiles_(cpu::split_rows(args.q.rows)),
        scores_(kType, keys_, dim_, tiles_),
        values_(kType, dim_, keys_, tiles_),
        key_bytes_(aligned(scores_.tallest().weight_bytes())),
        value_bytes_(aligned(values_.tallest().weight_bytes())),
        arranged_(kernels.arena().take(DType::u8,
                                       {args.q.batch * args.heads, key_bytes_ + value_bytes_})),
        scratch_(kernels, std::max(score_bytes() + value_bytes() + weight_bytes() + query_bytes(),
                                   widened_bytes())) {}

  void run(ThreadPool& pool) const {
    const int64_t heads = args_.q.batch * args_.heads;
    const auto tiles = static_cast<int64_t>(tiles_.size());
    pool.parallel_for(2 * heads, [&](int64_t piece, int worker) {
      arrange(piece / 2, piece % 2 == 0, scratch_.template of<std::byte>(worker));
    });
    pool.parallel_for(heads * tiles, [&](int64_t piece, int worker) {
      attend(piece / tiles, tiles_[piece % tiles], scratch_.template of<std::byte>(worker));
    });
  }

 private:
  static constexpr int64_t kTallest = cpu::kTileHeights[0];
  static int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }
  int64_t score_bytes() const { return aligned(kTallest * keys_ * 4); }
  int64_t value_bytes() const { return aligned(kTallest * dim_ * 4); }
  // f32 weights take the place of their scores.
  int64_t weight_bytes() const {
    return std::is_same_v<T, float> ? 0 : aligned(kTallest * keys_ * 2);
  }
  int64_t query_bytes() const { return aligned(kTallest * dim_ * static_cast<int64_t>(sizeof(T))); }
  int64_t widened_bytes() const {
    return std::is_same_v<Stream, T> ? 0 : aligned(keys_ * dim_ * 4);
  }
  dnnl::memory arranged(int64_t head, bool key) const {
    std::byte* data = static_cast<std::byte*>(arranged_.raw()) + head * (key_bytes_ + value_bytes_);
    return key ? scores_.tallest().weight_at(data) : values_.tallest().weight_at(data + key_bytes_);
  }

  // Keys as [dim, keys], values as [keys, dim].
  void arrange(int64_t head, bool key, std::byte* buffer) const {
    const Rows& rows = key ? args_.k : args_.v;
    const Stream* source = rows.row<Stream>(head / args_.heads, 0) + head % args_.heads * dim_;
    int64_t stride = rows.row_stride;
    const void* from = source;
    if constexpr (!std::is_same_v<Stream, T>) {
      auto* floats = reinterpret_cast<float*>(buffer);
      for (int64_t r = 0; r < keys_; ++r)
        cpu::widen(source + r * stride, rows.dtype, dim_, floats + r * dim_);
      from = floats;
      stride = dim_;
    }
    if (key)
      scores_.tallest().arrange(from, 1, stride, arranged(head, true));
    else
      values_.tallest().arrange(from, stride, 1, arranged(head, false));
  }

  void attend(int64_t head, const cpu::Tile& tile, std::byte* buffer) const {
    const int64_t b = head / args_.heads, h = head % args_.heads;
    auto* scores = reinterpret_cast<float*>(buffer);
    auto* values = reinterpret_cast<float*>(buffer += score_bytes());
    T* queries = reinterpret_cast<T*>(buffer += value_bytes());
    T* weights = reinterpret_cast<T*>(buffer += query_bytes());
    if constexpr (std::is_same_v<T, float>) weights = scores;
    copy_queries(b, h, tile, queries);
    scores_.of(tile).run(queries, arranged(head, true), scores);

    float sums[cpu::kTileHeights[0]];
    for (int64_t r = 0; r < tile.count; ++r) {
      const int64_t query = tile.first + r;
      const int64_t seen = args_.causal ? std::min(keys_, query + 1) : keys_;
      const float* bias = args_.bias.empty()
                              ? nullptr
                              : args_.bias.data<float>() + (h * args_.q.rows + query) * keys_;
      sums[r] = softmax_weights(scores + r * keys_, args_.scale, bias, seen, weights + r * keys_);
      std::fill(weights + r * keys_ + seen, weights + (r + 1) * keys_, T(0.0f));
    }
    std::fill(weights + tile.count * keys_, weights + tile.height() * keys_, T(0.0f));
    values_.of(tile).run(weights, arranged(head, false), values);
    for (int64_t r = 0; r < tile.count; ++r)
      divide_row(values + r * dim_, sums[r], dim_,
                 args_.out.row<Stream>(b, tile.first + r) + h * dim_);
  }

  void copy_queries(int64_t b, int64_t h, const cpu::Tile& tile, T* queries) const {
    for (int64_t r = 0; r < tile.count; ++r) {
      const Stream* from = args_.q.row<Stream>(b, tile.first + r) + h * dim_;
      if constexpr (std::is_same_v<Stream, T>)
        std::copy(from, from + dim_, queries + r * dim_);
      else
        cpu::widen(from, args_.q.dtype, dim_, queries + r * dim_);
    }
    std::fill(queries + tile.count * dim_, queries + tile.height() * dim_, T(0.0f));
  }

  const Attention& args_;
  const int64_t dim_, keys_;
  const std::vector<cpu::Tile> tiles_;
  const onednn::Matmuls scores_, values_;
  const int64_t key_bytes_, value_bytes_;
  const Tensor arranged_;
  const cpu::ThreadScratch scratch_;
};

}  // namespace

void CpuKernels::qk_norm_rope(const Rows& q, const Rows& k, const Tensor& q_weight,
                              const Tensor& k_weight, const Tensor& rope, float eps) {
  check_qk_norm_rope(q, k, q_weight, k_weight, rope);
  Arena::Scope scope(arena_);
  const int64_t dim = q_weight.dim(0), heads = q.cols / dim;
  const cpu::ThreadScratch buffers(*this, (q.cols + heads) * 4);
  auto run = [&]<typename T>(T) {
    cpu::for_each_row(pool_, q.batch, q.rows, 2 * q.cols, [&](int64_t b, int64_t r, int worker) {
      float* buffer = buffers.of<float>(worker);
      const float* angles = rope.data<float>() + r * dim;
      norm_and_rotate(q.row<T>(b, r), q_weight.data<T>(), angles, eps, q.cols, dim, buffer,
                      buffer + q.cols);
      norm_and_rotate(k.row<T>(b, r), k_weight.data<T>(), angles, eps, q.cols, dim, buffer,
                      buffer + q.cols);
    });
  };
  if (q.dtype == DType::bf16)
    run(bf16{});
  else
    run(float{});
}

void CpuKernels::attention(const Attention& args) {
  check_attention(args);
  Arena::Scope scope(arena_);
  if (args.q.dtype == DType::f32)
    AttentionRun<float, float>(*this, args).run(pool_);
  else if (onednn::has_bf16())
    AttentionRun<bf16, bf16>(*this, args).run(pool_);
  else
    AttentionRun<bf16, float>(*this, args).run(pool_);
}

}  // namespace fluxq
