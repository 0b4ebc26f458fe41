#include "kernels/operands.h"
#include "kernels/ref/ref_kernels.h"
#include "kernels/ref/values.h"

namespace fluxq {
namespace ref {

double activate(Act act, double v) {
  switch (act) {
    case Act::none:
      return v;
    // (1 + tanh u) / 2 = 1 / (1 + e^-2u) and 1 + erf u = erfc -u, so that nothing cancels.
    case Act::gelu_tanh:
      return v / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    case Act::gelu_erf:
      return 0.5 * v * std::erfc(-v / std::sqrt(2.0));
    case Act::quick_gelu:
      return v / (1 + std::exp(-1.702 * v));
    case Act::relu:
      return v < 0 ? 0 : v;  // a NaN stays
    case Act::silu:
      return v / (1 + std::exp(-v));
  }
  fail(ErrorCode::internal, "activation {}", static_cast<int>(act));
}

namespace {

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

std::vector<double> activated(const Producer& p, int64_t b, int64_t r) {
  std::vector<double> x = get_row(p.x, b, r);
  for (int64_t c = 0; c < p.x.cols; ++c) {
    x[c] = activate(p.act, x[c]);
    if (!p.factor.empty()) x[c] *= get(p.factor, b, r, c);
  }
  return x;
}

std::vector<double> layer_normed(const Producer& p, int64_t b, int64_t r) {
  std::vector<double> x = get_row(p.x, b, r);
  const double mean = mean_of(x);
  std::vector<double> squares;
  for (double v : x) squares.push_back((v - mean) * (v - mean));
  const double deviation = std::sqrt(mean_of(squares) + p.eps);
  for (int64_t c = 0; c < p.x.cols; ++c) {
    x[c] = (x[c] - mean) / deviation;
    if (!p.scale.empty()) x[c] *= 1 + get(p.scale, b, 0, c);
    if (!p.shift.empty()) x[c] += get(p.shift, b, 0, c);
    if (!p.weight.empty()) x[c] *= get(p.weight, c);
    if (!p.bias.empty()) x[c] += get(p.bias, c);
  }
  return x;
}

std::vector<double> rms_normed(const Producer& p, int64_t b, int64_t r) {
  std::vector<double> x = get_row(p.x, b, r), squares;
  for (double v : x) squares.push_back(v * v);
  const double rms = std::sqrt(mean_of(squares) + p.eps);
  for (int64_t c = 0; c < p.x.cols; ++c) {
    x[c] /= rms;
    if (!p.weight.empty()) x[c] *= get(p.weight, c);
  }
  return x;
}

std::vector<double> produced(const Producer& p, int64_t b, int64_t r) {
  switch (p.kind) {
    case Producer::Kind::activate:
      return activated(p, b, r);
    case Producer::Kind::layer_norm:
      return layer_normed(p, b, r);
    case Producer::Kind::rms_norm:
      return rms_normed(p, b, r);
  }
  fail(ErrorCode::internal, "producer {}", static_cast<int>(p.kind));
}

}  // namespace
}  // namespace ref

using ref::get, ref::set, ref::rounded;

void RefKernels::produce(const Producer& producer, const Rows& out) {
  check_produce(producer, out);
  const DType stream = producer.x.dtype;
  for (int64_t b = 0; b < out.batch; ++b)
    for (int64_t r = 0; r < out.rows; ++r) {
      const std::vector<double> values = ref::produced(producer, b, r);
      for (int64_t c = 0; c < out.cols; ++c) {
        double v = rounded(values[c], stream);
        if (!producer.input_scale.empty()) v = rounded(v * get(producer.input_scale, c), stream);
        set(out, b, r, c, v);
      }
    }
}

void RefKernels::apply(const Epilogue& epilogue, const Rows& acc, const Rows& out) {
  check_apply(epilogue, acc, out);
  for (int64_t b = 0; b < out.batch; ++b)
    for (int64_t r = 0; r < out.rows; ++r)
      for (int64_t c = 0; c < out.cols; ++c) {
        double v = get(acc, b, r, c);
        if (!epilogue.bias.empty()) v += get(epilogue.bias, c);
        v = ref::activate(epilogue.act, v);
        if (!epilogue.gate.empty()) v *= get(epilogue.gate, b, 0, c);
        if (!epilogue.residual.empty()) v += get(epilogue.residual, b, r, c);
        set(out, b, r, c, v);
      }
}

void RefKernels::embed(const Tensor& ids, const Tensor& table, const Tensor& positions,
                       const Rows& out) {
  check_embed(ids, table, positions, out);
  for (int64_t b = 0; b < out.batch; ++b)
    for (int64_t r = 0; r < out.rows; ++r) {
      const int64_t id = ids.data<int32_t>()[b * out.rows + r];
      if (id < 0 || id >= table.dim(0))
        fail(ErrorCode::internal, "embed: expected an id below {}, got {}", table.dim(0), id);
      for (int64_t c = 0; c < out.cols; ++c) {
        double v = get(table, id * out.cols + c);
        if (!positions.empty()) v += get(positions, r * out.cols + c);
        set(out, b, r, c, v);
      }
    }
}

void RefKernels::euler_step(const Rows& velocity, float sigma, float sigma_next,
                            const Rows& latents) {
  check_euler_step(velocity, latents);
  const double step = static_cast<double>(sigma_next) - sigma;
  for (int64_t b = 0; b < latents.batch; ++b)
    for (int64_t r = 0; r < latents.rows; ++r)
      for (int64_t c = 0; c < latents.cols; ++c)
        set(latents, b, r, c, get(latents, b, r, c) + step * get(velocity, b, r, c));
}

bool RefKernels::all_finite(const Rows& x) {
  bool finite = true;
  for (int64_t b = 0; b < x.batch; ++b)
    for (int64_t r = 0; r < x.rows; ++r)
      for (int64_t c = 0; c < x.cols; ++c) finite = finite && std::isfinite(get(x, b, r, c));
  return finite;
}

}  // namespace fluxq
