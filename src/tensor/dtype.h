/// Element types: those that safetensors files hold and those that kernels compute with.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace fluxq {

enum class DType : uint8_t {
  boolean,
  u8,
  i8,
  f8_e4m3,
  f8_e5m2,
  u16,
  i16,
  f16,
  bf16,
  u32,
  i32,
  f32,
  u64,
  i64,
  f64
};

/// Bytes of one element.
int64_t dtype_bytes(DType dtype);

/// The name that safetensors files use: "BF16", "F8_E4M3", ...
std::string_view dtype_name(DType dtype);

/// The type of a safetensors name, case sensitive; nothing for an unknown one.
std::optional<DType> parse_dtype(std::string_view name);

/// bfloat16: the upper half of a float. Conversion from float rounds to nearest even and keeps NaN
/// a NaN.
struct bf16 {
  uint16_t bits = 0;
  bf16() = default;
  explicit bf16(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    const uint32_t quiet_nan = (u >> 16) | 0x40;
    bits = static_cast<uint16_t>((u & 0x7fffffff) > 0x7f800000 ? quiet_nan : rounded);
  }
  explicit operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};
static_assert(sizeof(bf16) == 2);

/// IEEE half precision bits to float, exact.
float f16_to_float(uint16_t bits);

/// The DType of a C++ element type.
template <typename T>
inline constexpr DType kDTypeOf = DType::u8;
template <>
inline constexpr DType kDTypeOf<float> = DType::f32;
template <>
inline constexpr DType kDTypeOf<bf16> = DType::bf16;
template <>
inline constexpr DType kDTypeOf<int8_t> = DType::i8;
template <>
inline constexpr DType kDTypeOf<int32_t> = DType::i32;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::i64;

}  // namespace fluxq
