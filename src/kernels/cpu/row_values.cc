#include "kernels/cpu/row_values.h"

#include <cmath>
#include <type_traits>

#include "kernels/cpu/simd.h"

namespace fluxq::cpu {
namespace {

template <typename T>
FLUXQ_SIMD void widen_values(const T* values, int64_t count, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = to_float(values[i]);
}

template <typename T>
FLUXQ_SIMD void narrow_values(const float* values, int64_t count, T* out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = round_to<T>(values[i]);
}

// std::erf is not vectorised; no bundled model uses this activation, and CLIP's rows are few.
void gelu_erf(float* v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) v[i] = 0.5f * v[i] * std::erfc(-0.707106781f * v[i]);
}

FLUXQ_INLINE void activate_values(Act act, float* v, int64_t count) {
  switch (act) {
    case Act::none:
      return;
    case Act::gelu_tanh:
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) v[i] = gelu_tanh_of(v[i]);
      return;
    case Act::gelu_erf:
      return gelu_erf(v, count);
    case Act::quick_gelu:
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) v[i] = v[i] * sigmoid_of(1.702f * v[i]);
      return;
    case Act::relu:
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) v[i] = v[i] < 0.0f ? 0.0f : v[i];
      return;
    case Act::silu:
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) v[i] = v[i] * sigmoid_of(v[i]);
      return;
  }
}

// The producer's last step: rounding to x's type T, and smoothing where there is a scale.
template <typename T>
FLUXQ_SIMD void round_and_scale(float* v, const float* input_scale, int64_t count) {
  if (input_scale) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i)
      v[i] = rounded_through<T>(rounded_through<T>(v[i]) * input_scale[i]);
  } else if (std::is_same_v<T, bf16>) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) v[i] = rounded_through<T>(v[i]);
  }
}

template <typename T>
FLUXQ_SIMD void activated_row(const T* x, Act act, const T* factor, int64_t count, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = to_float(x[i]);
  activate_values(act, out, count);
  if (factor) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) out[i] *= to_float(factor[i]);
  }
}

// Mean and variance in two passes: one pass of squares loses what a large mean hides.
template <typename T>
FLUXQ_SIMD void normed_row(const T* x, bool centre, float eps, const float* factors,
                           const float* terms, int64_t count, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = to_float(x[i]);
  if (centre) {
    const float mean = sum_of(out, count) / static_cast<float>(count);
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) out[i] -= mean;
  }
  const float squares = sum_of_squares(out, count);
  const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(count) + eps);
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = out[i] * inverse * factors[i] + terms[i];
}

template <typename T>
void produce_row(const Producer& p, const float* factors, const float* terms, int64_t batch,
                 int64_t row, float* out) {
  const T* x = p.x.row<T>(batch, row);
  if (p.kind == Producer::Kind::activate)
    activated_row<T>(x, p.act, p.factor.empty() ? nullptr : p.factor.row<T>(batch, row), p.x.cols,
                     out);
  else
    normed_row<T>(x, p.kind == Producer::Kind::layer_norm, p.eps, factors, terms, p.x.cols, out);
}

// Columns are ended in strips that stay in registers and L1.
constexpr int64_t kStrip = 128;
constexpr int64_t kRowsAtOnce = 64;

template <typename Out>
struct EndingRow {
  float scale;
  const float* gate;
  const Out* residual;  // or nullptr
  Out* out;
};

// v = acc * scale * col_scale + bias, then the activation, gate and residual; one loop where there
// is no activation. Absent tables are those of ones and zeros.
template <typename Acc, typename Out>
FLUXQ_SIMD void end_rows(const Acc* acc, int64_t acc_stride, const EndingRow<Out>* rows,
                         int64_t count, const float* col_scale, const float* bias, Act act,
                         int64_t cols) {
  alignas(64) float v[kStrip];
  for (int64_t r = 0; r < count; ++r) {
    const Acc* in = acc + r * acc_stride;
    const EndingRow<Out> row = rows[r];
    if (act == Act::none && !row.residual) {
#pragma omp simd
      for (int64_t i = 0; i < cols; ++i)
        row.out[i] =
            round_to<Out>((to_float(in[i]) * row.scale * col_scale[i] + bias[i]) * row.gate[i]);
      continue;
    }
    if (act == Act::none) {
#pragma omp simd
      for (int64_t i = 0; i < cols; ++i)
        row.out[i] =
            round_to<Out>(to_float(row.residual[i]) +
                          (to_float(in[i]) * row.scale * col_scale[i] + bias[i]) * row.gate[i]);
      continue;
    }
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) v[i] = to_float(in[i]) * row.scale * col_scale[i] + bias[i];
    activate_values(act, v, cols);
    if (row.residual) {
#pragma omp simd
      for (int64_t i = 0; i < cols; ++i)
        row.out[i] = round_to<Out>(to_float(row.residual[i]) + v[i] * row.gate[i]);
    } else {
#pragma omp simd
      for (int64_t i = 0; i < cols; ++i) row.out[i] = round_to<Out>(v[i] * row.gate[i]);
    }
  }
}

struct Constants {
  alignas(64) float ones[kStrip];
  alignas(64) float zeros[kStrip];
};
constexpr Constants kConstants = [] {
  Constants constants{};
  for (float& one : constants.ones) one = 1;
  return constants;
}();

Tensor floats_of(CpuKernels& kernels, const void* values, DType dtype, int64_t count) {
  Tensor floats = kernels.arena().take(DType::f32, {count});
  widen(values, dtype, count, floats.data<float>());
  return floats;
}

}  // namespace

void widen(const void* values, DType dtype, int64_t count, float* out) {
  if (dtype == DType::bf16)
    widen_values(static_cast<const bf16*>(values), count, out);
  else
    widen_values(static_cast<const float*>(values), count, out);
}

void narrow(const float* values, int64_t count, DType dtype, void* out) {
  if (dtype == DType::bf16)
    narrow_values(values, count, static_cast<bf16*>(out));
  else
    narrow_values(values, count, static_cast<float*>(out));
}

FLUXQ_SIMD void activate(Act act, float* values, int64_t count) {
  activate_values(act, values, count);
}

RowProducer::RowProducer(CpuKernels& kernels, const Producer& producer) : producer_(producer) {
  const Producer& p = producer_;
  if (p.kind == Producer::Kind::activate) return;
  factors_ = kernels.arena().take(DType::f32, {p.x.batch, p.x.cols});
  terms_ = kernels.arena().take(DType::f32, {p.x.batch, p.x.cols});
  auto value = [](const Tensor& t, int64_t i) {
    return t.dtype() == DType::bf16 ? to_float(t.data<bf16>()[i]) : t.data<float>()[i];
  };
  auto modulation = [](const Rows& rows, int64_t b, int64_t i) {
    return rows.dtype == DType::bf16 ? to_float(rows.row<bf16>(b, 0)[i]) : rows.row<float>(b, 0)[i];
  };
  for (int64_t b = 0; b < p.x.batch; ++b)
    for (int64_t i = 0; i < p.x.cols; ++i) {
      float factor = p.scale.empty() ? 1.0f : 1.0f + modulation(p.scale, b, i);
      float term = p.shift.empty() ? 0.0f : modulation(p.shift, b, i);
      if (!p.weight.empty()) factor *= value(p.weight, i), term *= value(p.weight, i);
      if (!p.bias.empty()) term += value(p.bias, i);
      factors_.data<float>()[b * p.x.cols + i] = factor;
      terms_.data<float>()[b * p.x.cols + i] = term;
    }
}

void RowProducer::before_rounding(int64_t batch, int64_t row, float* out) const {
  const bool norm = producer_.kind != Producer::Kind::activate;
  const float* factors = norm ? factors_.data<float>() + batch * producer_.x.cols : nullptr;
  const float* terms = norm ? terms_.data<float>() + batch * producer_.x.cols : nullptr;
  if (producer_.x.dtype == DType::bf16)
    produce_row<bf16>(producer_, factors, terms, batch, row, out);
  else
    produce_row<float>(producer_, factors, terms, batch, row, out);
}

void RowProducer::row(int64_t batch, int64_t row, float* out) const {
  before_rounding(batch, row, out);
  const float* scale =
      producer_.input_scale.empty() ? nullptr : producer_.input_scale.data<float>();
  if (producer_.x.dtype == DType::bf16)
    round_and_scale<bf16>(out, scale, producer_.x.cols);
  else
    round_and_scale<float>(out, scale, producer_.x.cols);
}

void RowProducer::row_to(int64_t batch, int64_t row, float* buffer, const Rows& out) const {
  // One rounding serves both.
  const bool once = out.dtype == producer_.x.dtype && producer_.input_scale.empty();
  once ? before_rounding(batch, row, buffer) : this->row(batch, row, buffer);
  narrow(buffer, out.cols, out.dtype, out.at(batch, row));
}

RowFinisher::RowFinisher(CpuKernels& kernels, const Epilogue& epilogue, const float* row_scale,
                         const float* col_scale, const Rows& out)
    : epilogue_(epilogue), row_scale_(row_scale), col_scale_(col_scale), out_(out) {
  if (!epilogue.bias.empty())
    bias_ = floats_of(kernels, epilogue.bias.raw(), epilogue.bias.dtype(), out.cols);
  if (epilogue.gate.empty()) return;
  gates_ = kernels.arena().take(DType::f32, {out.batch, out.cols});
  for (int64_t b = 0; b < out.batch; ++b)
    widen(epilogue.gate.at(b, 0), epilogue.gate.dtype, out.cols,
          gates_.data<float>() + b * out.cols);
}

template <typename Acc>
void RowFinisher::finish(const Acc* acc, int64_t acc_stride, int64_t first, int64_t count,
                         int64_t col, int64_t cols) const {
  auto end = [&]<typename Out>(Out) {
    int64_t b = first / out_.rows, r = first % out_.rows;
    for (int64_t done = 0; done < count;) {
      // Rows of one matrix at a time.
      const int64_t rows = std::min({kRowsAtOnce, count - done, out_.rows - r});
      for (int64_t strip = col; strip < col + cols; strip += kStrip) {
        EndingRow<Out> ending[kRowsAtOnce];
        const float* gate =
            gates_.empty() ? kConstants.ones : gates_.data<float>() + b * out_.cols + strip;
        for (int64_t i = 0; i < rows; ++i) {
          ending[i].scale = row_scale_ ? row_scale_[first + done + i] : 1.0f;
          ending[i].gate = gate;
          ending[i].residual =
              epilogue_.residual.empty() ? nullptr : epilogue_.residual.row<Out>(b, r + i) + strip;
          ending[i].out = out_.row<Out>(b, r + i) + strip;
        }
        end_rows<Acc, Out>(acc + done * acc_stride + (strip - col), acc_stride, ending, rows,
                           col_scale_ ? col_scale_ + strip : kConstants.ones,
                           bias_.empty() ? kConstants.zeros : bias_.data<float>() + strip,
                           epilogue_.act, std::min(kStrip, col + cols - strip));
      }
      done += rows;
      r += rows;
      if (r == out_.rows) ++b, r = 0;
    }
  };
  if (out_.dtype == DType::bf16)
    end(bf16{});
  else
    end(float{});
}

template void RowFinisher::finish(const float*, int64_t, int64_t, int64_t, int64_t, int64_t) const;
template void RowFinisher::finish(const bf16*, int64_t, int64_t, int64_t, int64_t, int64_t) const;
template void RowFinisher::finish(const int32_t*, int64_t, int64_t, int64_t, int64_t,
                                  int64_t) const;

}  // namespace fluxq::cpu
