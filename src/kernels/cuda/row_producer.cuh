/// A Producer's row in registers, for every kernel that starts from one (row_part.cuh says who
/// holds it); what it gets is rounded to the stream as kernels.h says.
#pragma once

#include <string_view>

#include "kernels/cuda/row_part.cuh"

namespace fluxq::cuda {

/// A Producer without its owners, as kernels take it.
struct RowSource {
  Producer::Kind kind;
  Act act;
  float eps;
  Rows x, factor, shift, scale;
  const void* weight;
  const void* bias;
  const float* input_scale;

  explicit RowSource(const Producer& p)
      : kind(p.kind),
        act(p.act),
        eps(p.eps),
        x(p.x),
        factor(p.factor),
        shift(p.shift),
        scale(p.scale),
        weight(p.weight.raw()),
        bias(p.bias.raw()),
        input_scale(static_cast<const float*>(p.input_scale.raw())) {}
};

/// Error(unsupported) naming `operation` for rows of more than kMaxRowCols columns.
void check_row_cols(std::string_view operation, int64_t cols);

inline bool has_aligned_chunks(const Producer& p) {
  return has_aligned_chunks(p.x) && has_aligned_chunks(p.factor) && has_aligned_chunks(p.shift) &&
         has_aligned_chunks(p.scale) && (p.weight.empty() || has_aligned_chunks(p.weight)) &&
         (p.bias.empty() || has_aligned_chunks(p.bias)) &&
         (p.input_scale.empty() || has_aligned_chunks(p.input_scale));
}

inline RowForm form_of(const Producer& p) {
  const bool factors = !p.weight.empty() || !p.bias.empty();
  const bool stream = p.x.cols == kStreamCols;
  if (p.kind == Producer::Kind::activate && p.act == Act::none && p.factor.empty())
    return stream ? RowForm::stream : RowForm::plain;
  if (p.kind == Producer::Kind::layer_norm && !p.shift.empty() && !p.scale.empty() && !factors &&
      stream)
    return RowForm::modulated_stream;
  return RowForm::any;
}

template <RowForm kForm>
using RowFormConstant = std::integral_constant<RowForm, kForm>;

/// launch(type, aligned, form) with the stream's C++ type, whether chunks of 16 bytes can be used
/// and the form, as values of types to be deduced. f32 has no such chunks and, like rows that are
/// not aligned, no forms: it is there for exactness.
template <typename Launch>
void with_row_type(const Producer& p, bool aligned, const Launch& launch) {
  constexpr RowFormConstant<RowForm::any> kAny;
  if (p.x.dtype == DType::f32) return launch(float{}, std::false_type{}, kAny);
  if (!aligned) return launch(bf16{}, std::false_type{}, kAny);
  switch (form_of(p)) {
    case RowForm::stream:
      return launch(bf16{}, std::true_type{}, RowFormConstant<RowForm::stream>{});
    case RowForm::modulated_stream:
      return launch(bf16{}, std::true_type{}, RowFormConstant<RowForm::modulated_stream>{});
    case RowForm::plain:
      return launch(bf16{}, std::true_type{}, RowFormConstant<RowForm::plain>{});
    case RowForm::any:
      return launch(bf16{}, std::true_type{}, kAny);
  }
}

/// Mean and 1 / sqrt(variance + eps) of a row (with_mean), or 0 and 1 / sqrt(mean square + eps).
/// Squares are taken around the mean, so that a large mean hides nothing.
template <bool kAligned, typename T, RowForm kForm>
__device__ float2 moments_of_row(const RowPart<T, kForm>& part, int cols, bool with_mean,
                                 float eps) {
  using Part = RowPart<T, kForm>;
  __shared__ RowSlots of_values, of_squares;
  float mean = 0;
  if (with_mean) {
    float sums[Part::kParts] = {};
#pragma unroll
    for (int i = 0; i < Part::kChunks; ++i) {
      float v[kChunk];
      part.get(i, v);
      sums[i % Part::kParts] += ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
    }
    mean = __fdiv_rn(sum_of_row<kForm>(sums, of_values), static_cast<float>(cols));
  }
  float squares[Part::kParts] = {};
#pragma unroll
  for (int i = 0; i < Part::kChunks; ++i) {
    const int exist = Part::count(0, i, cols);
    float v[kChunk], of_chunk = 0;
    part.get(i, v);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) {
      const float d = kAligned || j < exist ? __fsub_rn(v[j], mean) : 0.0f;
      of_chunk = __fmaf_rn(d, d, of_chunk);
    }
    squares[i % Part::kParts] += exist > 0 ? of_chunk : 0.0f;
  }
  const float total = sum_of_row<kForm>(squares, of_squares);
  return {mean, 1.0f / sqrtf(total / static_cast<float>(cols) + eps)};
}

/// v = v factor + term, or v (1 + factor) + term, at columns from `col` on, rounded once. Without
/// kGiven either pointer may be null, for a factor of 1 and no term.
template <bool kAligned, bool kGiven, typename T>
__device__ void scale_and_add(const T* factor, bool one_plus, const T* term, int col, int count,
                              float (&v)[kChunk]) {
  if (!kGiven && !factor && !term) return;
  float factors[kChunk], terms[kChunk] = {};
#pragma unroll
  for (int j = 0; j < kChunk; ++j) factors[j] = one_plus ? 0.0f : 1.0f;
  if (kGiven || factor) load_chunk<kAligned>(factor + col, count, factors);
  if (kGiven || term) load_chunk<kAligned>(term + col, count, terms);
#pragma unroll
  for (int j = 0; j < kChunk; ++j)
    v[j] = __fmaf_rn(v[j], one_plus ? __fadd_rn(1.0f, factors[j]) : factors[j], terms[j]);
}

template <typename T, bool kAligned, RowForm kForm>
__device__ void normalize_row(const RowSource& p, int64_t batch, int cols,
                              RowPart<T, kForm>& part) {
  using Part = RowPart<T, kForm>;
  constexpr bool kModulated = kForm == RowForm::modulated_stream;
  const T* scale = kModulated || p.scale.data ? row_of<T>(p.scale, batch, 0) : nullptr;
  const T* shift = kModulated || p.shift.data ? row_of<T>(p.shift, batch, 0) : nullptr;
  const T* weight = kModulated ? nullptr : static_cast<const T*>(p.weight);
  const T* bias = kModulated ? nullptr : static_cast<const T*>(p.bias);
  const bool with_mean = kModulated || p.kind == Producer::Kind::layer_norm;
  const float2 moments = moments_of_row<kAligned>(part, cols, with_mean, p.eps);
#pragma unroll
  for (int i = 0; i < Part::kChunks; ++i) {
    const int col = Part::col(0, i), count = Part::count(0, i, cols);
    float v[kChunk];
    part.get(i, v);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) {
      const float normal = __fmul_rn(__fsub_rn(v[j], moments.x), moments.y);
      v[j] = kAligned || j < count ? normal : 0.0f;
    }
    scale_and_add<kAligned, kModulated>(scale, true, shift, col, count, v);
    if (!kModulated) scale_and_add<kAligned, false>(weight, false, bias, col, count, v);
    part.set(i, v);
    if (kAligned && count <= 0) part.clear(i);
  }
}

/// part = the thread's part of row `row` of matrix `batch`, columns from `first` on (a norm needs
/// the whole row: first = 0).
template <typename T, bool kAligned, RowForm kForm>
__device__ void produce_row(const RowSource& p, int64_t batch, int64_t row, int first,
                            RowPart<T, kForm>& part) {
  using Part = RowPart<T, kForm>;
  const int cols = Part::cols_of(p.x);
  part.template load<kAligned>(row_of<T>(p.x, batch, row), first, cols);
  if (kForm == RowForm::modulated_stream ||
      (kForm == RowForm::any && p.kind != Producer::Kind::activate)) {
    normalize_row<T, kAligned, kForm>(p, batch, cols, part);
  } else if (kForm == RowForm::any) {
    const T* factor = p.factor.data ? row_of<T>(p.factor, batch, row) : nullptr;
#pragma unroll
    for (int i = 0; i < Part::kChunks; ++i) {
      const int col = Part::col(first, i);
      float v[kChunk];
      part.get(i, v);
#pragma unroll
      for (int j = 0; j < kChunk; ++j) v[j] = activate<T>(p.act, v[j]);
      scale_and_add<kAligned, false, T>(factor, false, nullptr, col, Part::count(first, i, cols),
                                        v);
      part.set(i, v);
    }
  }
  if (!p.input_scale) return;
#pragma unroll
  for (int i = 0; i < Part::kChunks; ++i) {
    const int col = Part::col(first, i);
    float v[kChunk], scale[kChunk];
    part.get(i, v);
    load_chunk<kAligned>(p.input_scale + col, Part::count(first, i, cols), scale);
#pragma unroll
    for (int j = 0; j < kChunk; ++j) v[j] *= scale[j];
    part.set(i, v);
  }
}

}  // namespace fluxq::cuda
