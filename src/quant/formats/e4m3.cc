#include "quant/formats/e4m3.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/cpu/simd.h"
#include "quant/formats/absmax.h"

namespace fluxq {
namespace {

constexpr float kSmallestNormal = 0x1p-6f;

// The bits of the float nearest to x / scale that is an e4m3 value.
FLUXQ_INLINE uint32_t nearest_bits(float x, float scale) {
  const uint32_t quotient = std::bit_cast<uint32_t>(x / scale);
  const float unsigned_quotient = std::bit_cast<float>(quotient & 0x7fffffffu);
  const float magnitude = unsigned_quotient < kE4m3Max ? unsigned_quotient : kE4m3Max;
  // Normal: of a float's 23 fraction bits 3 stay; adding just under half of what goes, and one more
  // when the last bit that stays is odd, rounds to nearest even.
  const uint32_t bits = std::bit_cast<uint32_t>(magnitude);
  const uint32_t normal = (bits + 0x7ffff + ((bits >> 20) & 1)) & ~0xfffffu;
  // Subnormal: next to 2^14 floats are 2^-9 apart, so the addition itself rounds.
  const uint32_t subnormal = std::bit_cast<uint32_t>((magnitude + 0x1p14f) - 0x1p14f);
  return (quotient & 0x80000000u) | (magnitude < kSmallestNormal ? subnormal : normal);
}

std::array<float, 256> decode_table() {
  std::array<float, 256> table{};
  for (int code = 0; code < 256; ++code) {
    const int exponent = (code >> 3) & 15, fraction = code & 7;
    float value = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -9)
                                : std::ldexp(1.0f + static_cast<float>(fraction) / 8, exponent - 7);
    if ((code & 0x7f) == 0x7f) value = std::nanf("");
    table[static_cast<size_t>(code)] = code & 0x80 ? -value : value;
  }
  return table;
}

}  // namespace

float e4m3_scale(float amax) {
  if (!std::isfinite(amax)) return std::nanf("");
  const auto scale = static_cast<float>(bf16(amax / kE4m3Max));
  return scale > 0 ? scale : 1.0f;
}

FLUXQ_SIMD void e4m3_encode(const float* x, int64_t count, float scale, uint8_t* codes) {
  if (std::isnan(scale)) {
    std::fill_n(codes, count, uint8_t{0});
    return;
  }
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = nearest_bits(x[i], scale);
    const uint32_t magnitude = bits & 0x7fffffffu;
    const uint32_t normal = (magnitude >> 20) - (120u << 3);  // bias 127 to bias 7
    const auto steps = static_cast<int32_t>(std::bit_cast<float>(magnitude) * 0x1p9f);
    const uint32_t code = magnitude < std::bit_cast<uint32_t>(kSmallestNormal)
                              ? static_cast<uint32_t>(steps)
                              : normal;
    codes[i] = static_cast<uint8_t>((bits >> 24 & 0x80) | code);
  }
}

FLUXQ_SIMD void e4m3_encode(const float* x, int64_t count, float scale, bf16* values) {
  if (std::isnan(scale)) {
    std::fill_n(values, count, bf16(0.0f));
    return;
  }
#pragma omp simd
  for (int64_t i = 0; i < count; ++i)
    values[i].bits = static_cast<uint16_t>(nearest_bits(x[i], scale) >> 16);
}

float e4m3_quantize(const float* x, int64_t count, uint8_t* codes) {
  const float scale = e4m3_scale(absmax(x, count));
  e4m3_encode(x, count, scale, codes);
  return scale;
}

float e4m3_quantize(const float* x, int64_t count, bf16* values) {
  const float scale = e4m3_scale(absmax(x, count));
  e4m3_encode(x, count, scale, values);
  return scale;
}

float e4m3_decode(uint8_t code) {
  static const std::array<float, 256> table = decode_table();
  return table[code];
}

Tensor e4m3_values(const Tensor& codes) {
  Tensor values = Tensor::on_host(DType::bf16, codes.shape());
  const auto* code = static_cast<const uint8_t*>(codes.raw());
  for (int64_t i = 0; i < codes.elements(); ++i)
    values.data<bf16>()[i] = bf16(e4m3_decode(code[i]));
  return values;
}

void e4m3_bounds(const float* x, int64_t count, float* bounds) {
  const float scale = e4m3_scale(absmax(x, count));
  for (int64_t i = 0; i < count; ++i) {
    const float magnitude = std::abs(x[i]);
    const float step = std::ldexp(1.0f, std::max(std::ilogb(magnitude / scale), -6) - 3);
    // The rest: float rounding of the quotient and of the product.
    bounds[i] = scale * step / 2 + magnitude * 0x1p-22f + 0x1p-149f;
  }
}

}  // namespace fluxq
