#include "kernels/operands.h"
#include "kernels/ref/ref_kernels.h"
#include "kernels/ref/values.h"

namespace fluxq {

using ref::get, ref::set, ref::index;

namespace {

/// f(position) for every element of one group of one picture.
template <typename F>
void for_each_in_group(const Tensor& x, int64_t groups, int64_t b, int64_t group, const F& f) {
  const int64_t width = x.dim(3) / groups;
  for (int64_t row = 0; row < x.dim(1); ++row)
    for (int64_t col = 0; col < x.dim(2); ++col)
      for (int64_t c = group * width; c < (group + 1) * width; ++c) f(index(x, b, row, col, c), c);
}

}  // namespace

void RefKernels::group_norm(const Tensor& x, int64_t groups, const Tensor& weight,
                            const Tensor& bias, float eps, bool silu, const Tensor& out) {
  check_group_norm(x, groups, weight, bias, out);
  const auto count = static_cast<double>(x.dim(1) * x.dim(2) * x.dim(3) / groups);
  for (int64_t b = 0; b < x.dim(0); ++b)
    for (int64_t group = 0; group < groups; ++group) {
      double sum = 0, squares = 0;
      for_each_in_group(x, groups, b, group, [&](int64_t i, int64_t) { sum += get(x, i); });
      const double mean = sum / count;
      for_each_in_group(x, groups, b, group,
                        [&](int64_t i, int64_t) { squares += std::pow(get(x, i) - mean, 2); });
      const double deviation = std::sqrt(squares / count + eps);
      for_each_in_group(x, groups, b, group, [&](int64_t i, int64_t c) {
        const double v = (get(x, i) - mean) / deviation * get(weight, c) + get(bias, c);
        set(out, i, silu ? ref::activate(Act::silu, v) : v);
      });
    }
}

}  // namespace fluxq
