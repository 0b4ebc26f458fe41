#include "quant/formats/weight.h"

#include <cmath>
#include <limits>

namespace fluxq {
namespace {

// Magnitudes compare as bit patterns; those of Inf and NaN are the largest.
template <typename Bits>
int64_t first_above(const Bits* bits, int64_t count, Bits largest) {
  constexpr Bits kNoSign = static_cast<Bits>(~Bits{0}) >> 1;
  for (int64_t i = 0; i < count; ++i) {
    if ((bits[i] & kNoSign) > largest) return i;
  }
  return -1;
}

int64_t first_above(const Tensor& tensor, float largest) {
  const auto bits = std::bit_cast<uint32_t>(largest);
  if (tensor.dtype() == DType::f32)
    return first_above(static_cast<const uint32_t*>(tensor.raw()), tensor.elements(), bits);
  return first_above(static_cast<const uint16_t*>(tensor.raw()), tensor.elements(),
                     static_cast<uint16_t>(bits >> 16));
}

// The weight in `dtype`, all magnitudes at most `largest`, or Error(numeric).
Tensor bounded_weight(const Tensor& weight, DType dtype, float largest, std::string_view name) {
  if (weight.rank() != 2)
    fail(ErrorCode::internal, "weight {}: expected shape [out, in], got {}", name,
         to_string(weight.shape()));
  const Tensor values = weight.dtype() == dtype ? weight : converted(weight, dtype);
  const int64_t bad = first_above(values, largest);
  if (bad >= 0) {
    const int64_t in = weight.dim(1);
    const Tensor one = weight.reshaped({weight.elements(), 1}).slice(bad, bad + 1);
    fail(ErrorCode::numeric, "weight {} at [{}, {}]: expected a number of at most {:g}, got {:g}",
         name, bad / in, bad % in, largest, to_floats(one)[0]);
  }
  return values;
}

}  // namespace

Tensor finite_weight(const Tensor& weight, DType dtype, std::string_view name) {
  constexpr float kLargestFloat = std::numeric_limits<float>::max();
  constexpr float kLargestBf16 = 0x1.fep127f;
  return bounded_weight(weight, dtype, dtype == DType::f32 ? kLargestFloat : kLargestBf16, name);
}

Tensor quantizable_weight(const Tensor& weight, std::string_view name) {
  return converted(bounded_weight(weight, DType::bf16, 0x1p126f, name), DType::f32);
}

Tensor as_bf16_values(const Tensor& weight) {
  return converted(converted(weight, DType::bf16), DType::f32);
}

std::vector<float> row_bounds(const Tensor& matrix, void (*bounds)(const float*, int64_t, float*)) {
  const std::vector<float> before = to_floats(matrix);
  const Tensor rounded = as_bf16_values(matrix);
  const int64_t rows = matrix.dim(0), in = matrix.dim(1);
  std::vector<float> all(before.size());
  for (int64_t row = 0; row < rows; ++row)
    bounds(rounded.data<float>() + row * in, in, &all[static_cast<size_t>(row * in)]);
  for (size_t i = 0; i < all.size(); ++i) all[i] += std::abs(before[i] - rounded.data<float>()[i]);
  return all;
}

PackedWeight empty_parts(const Scheme& scheme, int64_t out, int64_t in,
                         const std::function<Tensor(DType, Shape)>& allocate) {
  if (const auto reason = scheme.refuses(out, in))
    fail(ErrorCode::unsupported, "scheme {} cannot pack a weight [{}, {}]: {}", scheme.info().name,
         out, in, *reason);
  PackedWeight packed{out, in, {}};
  for (const PartSpec& spec : scheme.layout(out, in))
    packed.parts.push_back(allocate(spec.dtype, spec.shape));
  return packed;
}

}  // namespace fluxq
