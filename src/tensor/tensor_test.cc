#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tensor/arena.h"

namespace fluxq {
namespace {

TEST(DType, NamesRoundTripAndAreCaseSensitive) {
  for (int i = 0; i <= static_cast<int>(DType::f64); ++i) {
    const DType dtype = static_cast<DType>(i);
    EXPECT_EQ(parse_dtype(dtype_name(dtype)), dtype);
    EXPECT_GE(dtype_bytes(dtype), 1);
  }
  EXPECT_FALSE(parse_dtype("bf16"));
  EXPECT_FALSE(parse_dtype(""));
  EXPECT_EQ(dtype_bytes(DType::bf16), 2);
  EXPECT_EQ(dtype_bytes(DType::f64), 8);
}

TEST(Bf16, RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(bf16(1.00390625f).bits, 0x3f80);  // half a step above 1: ties to even, down
  EXPECT_EQ(bf16(1.01171875f).bits, 0x3f82);  // a step and a half above 1: ties to even, up
  EXPECT_EQ(bf16(1.00390637f).bits, 0x3f81);  // just above the tie
  EXPECT_EQ(bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(bf16(-std::numeric_limits<float>::infinity()).bits, 0xff80);
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(std::nanf("")))));
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    bf16 value;
    value.bits = static_cast<uint16_t>(bits);
    const float wide = static_cast<float>(value);
    if (!std::isnan(wide)) {
      EXPECT_EQ(bf16(wide).bits, bits);
    }
  }
}

TEST(F16, EveryClassConvertsExactly) {
  EXPECT_EQ(f16_to_float(0x3c00), 1.0f);
  EXPECT_EQ(f16_to_float(0xc000), -2.0f);
  EXPECT_EQ(f16_to_float(0x7bff), 65504.0f);
  EXPECT_EQ(f16_to_float(0x0400), 0x1p-14f);
  EXPECT_EQ(f16_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(f16_to_float(0x83ff), -1023 * 0x1p-24f);
  EXPECT_TRUE(std::signbit(f16_to_float(0x8000)));
  EXPECT_TRUE(std::isinf(f16_to_float(0x7c00)));
  EXPECT_TRUE(std::isnan(f16_to_float(0x7e00)));
}

TEST(Tensor, WindowsShareMemoryAndKeepItAlive) {
  Tensor part;
  {
    const Tensor whole = Tensor::from<float>({0, 1, 2, 3, 4, 5}, {3, 2});
    part = whole.slice(1, 3);
    whole.data<float>()[2] = 20;
  }
  EXPECT_EQ(part.shape(), (Shape{2, 2}));
  EXPECT_EQ(part.data<float>()[0], 20);
  EXPECT_EQ(part.reshaped({4}).data<float>()[3], 5);
  EXPECT_EQ(part.bytes(), 16);
}

TEST(Tensor, MisuseIsAnErrorThatSaysWhat) {
  const Tensor tensor = Tensor::from<float>({1, 2}, {2});
  EXPECT_THROW(tensor.data<bf16>(), Error);
  EXPECT_THROW(tensor.reshaped({3}), Error);
  EXPECT_THROW(tensor.slice(1, 3), Error);
  EXPECT_THROW(Tensor::from<float>({1, 2}, {3}), Error);
  EXPECT_THROW(element_count({int64_t{1} << 40, int64_t{1} << 40}), Error);
  EXPECT_THROW(element_count({-1}), Error);
  EXPECT_EQ(element_count({}), 1);
}

TEST(Tensor, ConversionsAreExactOrRounded) {
  const Tensor floats = Tensor::from<float>({1, -2.5f, 1.00390637f}, {3});
  const Tensor narrow = converted(floats, DType::bf16);
  EXPECT_EQ(to_floats(narrow), (std::vector<float>{1, -2.5f, 1.0078125f}));
  EXPECT_THROW(converted(floats, DType::i8), Error);
}

TEST(Arena, ScopesGiveBackAndNothingIsAllocatedAgain) {
  int allocations = 0;
  Arena arena(Device::cpu, [&](int64_t bytes) {
    ++allocations;
    return std::shared_ptr<void>(std::aligned_alloc(256, static_cast<size_t>(bytes)), std::free);
  });
  void* first = nullptr;
  for (int pass = 0; pass < 3; ++pass) {
    Arena::Scope scope(arena);
    const Tensor a = arena.take(DType::f32, {1000});
    if (pass == 0) first = a.raw();
    EXPECT_EQ(a.raw(), first);
    const Tensor big = arena.take(DType::u8, {8 << 20});  // does not fit the first block
    EXPECT_NE(big.raw(), a.raw());
    {
      Arena::Scope inner(arena);
      const Tensor b = arena.take(DType::u8, {100});
      const Tensor c = arena.take(DType::u8, {100});
      EXPECT_NE(b.raw(), c.raw());
      EXPECT_EQ(reinterpret_cast<uintptr_t>(c.raw()) % 256, 0u);
    }
  }
  EXPECT_EQ(allocations, 3);
  EXPECT_GE(arena.reserved_bytes(), (8 << 20) + 4000);
}

}  // namespace
}  // namespace fluxq
