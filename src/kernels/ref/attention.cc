#include "kernels/operands.h"
#include "kernels/ref/ref_kernels.h"
#include "kernels/ref/values.h"

namespace fluxq {

using ref::get, ref::set, ref::rounded;

namespace {

/// One head of q or k.
void norm_and_rotate(const Rows& x, const Tensor& weight, const Tensor& rope, float eps, int64_t b,
                     int64_t r, int64_t first) {
  const int64_t dim = weight.dim(0);
  double squares = 0;
  for (int64_t i = 0; i < dim; ++i) squares += std::pow(get(x, b, r, first + i), 2);
  const double rms = std::sqrt(squares / static_cast<double>(dim) + eps);
  std::vector<double> normed(dim);
  for (int64_t i = 0; i < dim; ++i)
    normed[i] = rounded(get(x, b, r, first + i) / rms * get(weight, i), x.dtype);
  for (int64_t pair = 0; pair < dim / 2; ++pair) {
    const double cosine = get(rope, (r * dim / 2 + pair) * 2);
    const double sine = get(rope, (r * dim / 2 + pair) * 2 + 1);
    const double even = normed[2 * pair], odd = normed[2 * pair + 1];
    set(x, b, r, first + 2 * pair, even * cosine - odd * sine);
    set(x, b, r, first + 2 * pair + 1, odd * cosine + even * sine);
  }
}

/// Attention of one query in one head: its columns [first, first + dim).
std::vector<double> attend(const Attention& a, int64_t b, int64_t query, int64_t head) {
  const int64_t dim = a.q.cols / a.heads, first = head * dim;
  const int64_t keys = a.causal ? std::min(query + 1, a.k.rows) : a.k.rows;
  std::vector<double> scores(keys), out(dim, 0.0);
  double largest = -INFINITY, sum = 0;
  for (int64_t key = 0; key < keys; ++key) {
    double dot = 0;
    for (int64_t i = 0; i < dim; ++i)
      dot += get(a.q, b, query, first + i) * get(a.k, b, key, first + i);
    scores[key] = a.scale * dot;
    if (!a.bias.empty()) scores[key] += get(a.bias, (head * a.q.rows + query) * a.k.rows + key);
    largest = std::max(largest, scores[key]);
  }
  for (double& score : scores) sum += score = std::exp(score - largest);
  for (int64_t key = 0; key < keys; ++key)
    for (int64_t i = 0; i < dim; ++i) out[i] += scores[key] / sum * get(a.v, b, key, first + i);
  return out;
}

}  // namespace

void RefKernels::qk_norm_rope(const Rows& q, const Rows& k, const Tensor& q_weight,
                              const Tensor& k_weight, const Tensor& rope, float eps) {
  check_qk_norm_rope(q, k, q_weight, k_weight, rope);
  for (int64_t b = 0; b < q.batch; ++b)
    for (int64_t r = 0; r < q.rows; ++r)
      for (int64_t first = 0; first < q.cols; first += q_weight.dim(0)) {
        norm_and_rotate(q, q_weight, rope, eps, b, r, first);
        norm_and_rotate(k, k_weight, rope, eps, b, r, first);
      }
}

void RefKernels::attention(const Attention& args) {
  check_attention(args);
  const int64_t dim = args.q.cols / args.heads;
  for (int64_t b = 0; b < args.q.batch; ++b)
    for (int64_t query = 0; query < args.q.rows; ++query)
      for (int64_t head = 0; head < args.heads; ++head) {
        const std::vector<double> values = attend(args, b, query, head);
        for (int64_t i = 0; i < dim; ++i) set(args.out, b, query, head * dim + i, values[i]);
      }
}

}  // namespace fluxq
