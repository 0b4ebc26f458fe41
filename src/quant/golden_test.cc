/// Codes, scales and values against torchao 0.18's own for the same bf16 rows, bit for bit
/// (tools/golden/quant.py): ties, outliers, subnormal scales, constants, ragged widths.
#include "kernels/cpu/cpu_kernels.h"
#include "quant/formats/e4m3.h"
#include "quant/formats/s4.h"
#include "quant/testing.h"

namespace fluxq {
namespace {

using testing::plain;
using testing::same_bytes;

const std::map<std::string, Tensor>& golden() {
  static const auto tensors = testing::read_golden("torchao.safetensors");
  return tensors;
}

// Calls check(case, x) for each case that has `scheme`.
template <typename Check>
void for_each_case(const std::string& scheme, const Check& check) {
  int cases = 0;
  for (const auto& [name, x] : golden()) {
    if (!name.ends_with(".x")) continue;
    const std::string prefix = name.substr(0, name.size() - 2);
    if (!golden().contains(prefix + "." + scheme + ".scale")) continue;
    SCOPED_TRACE(prefix + " " + scheme);
    check(prefix + "." + scheme + ".", x);
    ++cases;
  }
  EXPECT_GE(cases, 3) << scheme;
}

Tensor values_tensor(const std::vector<float>& values, const Shape& shape) {
  return Tensor::from(values, shape);
}

class Golden : public ::testing::TestWithParam<const char*> {};

TEST_P(Golden, WeightsAreTorchaos) {
  const Scheme& scheme = find_scheme(GetParam());
  for_each_case(GetParam(), [&](const std::string& prefix, const Tensor& x) {
    const PackedWeight packed = scheme.pack(x, "w");
    const std::vector<PartSpec> specs = scheme.layout(packed.out, packed.in);
    for (size_t i = 0; i < specs.size(); ++i)
      EXPECT_TRUE(same_bytes(packed.parts[i], golden().at(prefix + specs[i].name)))
          << specs[i].name;
    EXPECT_TRUE(same_bytes(values_tensor(scheme.unpack(packed), x.shape()),
                           golden().at(prefix + "values")));
    scheme.check(packed, "w");
  });
}

TEST_P(Golden, ActivationsAreTorchaos) {
  const Scheme& scheme = find_scheme(GetParam());
  CpuKernels kernels(2);
  const auto on_cpu = scheme.on(kernels);
  for_each_case(GetParam(), [&](const std::string& prefix, const Tensor& x) {
    Arena::Scope scope(kernels.arena());
    const Prepared prepared = on_cpu->prepare(plain(x));
    const Tensor& scale = golden().at(prefix + "act.scale");
    EXPECT_TRUE(same_bytes(prepared.scale.reshaped(scale.shape()), scale));
    const Tensor& qdata = golden().at(prefix + "act.qdata");
    const auto* codes = static_cast<const uint8_t*>(qdata.raw());
    for (int64_t i = 0; i < qdata.elements(); ++i) {
      const int64_t row = i / x.dim(1), col = i % x.dim(1);
      if (prepared.codes.dtype == DType::i8) {
        ASSERT_EQ(prepared.codes.row<int8_t>(0, row)[col], static_cast<int8_t>(codes[i])) << i;
      } else {
        const bf16 expected(e4m3_decode(codes[i]));
        ASSERT_EQ(prepared.codes.row<bf16>(0, row)[col].bits, expected.bits) << i;
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Schemes, Golden, ::testing::Values("fp8dqrow", "fp8dq", "int8dq"),
                         [](const auto& info) { return std::string(info.param); });

// The same weights as int8dq's; what is multiplied is torchao's dequantize(), in bf16.
TEST(GoldenInt8Wo, WeightsAreTorchaos) {
  const Scheme& scheme = find_scheme("int8wo");
  for_each_case("int8dq", [&](const std::string& prefix, const Tensor& x) {
    const PackedWeight packed = scheme.pack(x, "w");
    for (size_t i = 0; const PartSpec& part : scheme.layout(packed.out, packed.in))
      EXPECT_TRUE(same_bytes(packed.parts[i++], golden().at(prefix + part.name))) << part.name;
    const Tensor values = converted(golden().at(prefix + "values"), DType::bf16);
    EXPECT_TRUE(
        same_bytes(values_tensor(scheme.unpack(packed), x.shape()), converted(values, DType::f32)));
  });
}

TEST(GoldenInt4, WeightsAreTinygemms) {
  const Scheme& scheme = find_scheme("int4wo");
  for_each_case("int4wo", [&](const std::string& prefix, const Tensor& x) {
    const PackedWeight packed = scheme.pack(x, "w");
    scheme.check(packed, "w");
    EXPECT_TRUE(same_bytes(values_tensor(scheme.unpack(packed), x.shape()),
                           golden().at(prefix + "values")));
    std::vector<uint8_t> codes(static_cast<size_t>(x.elements()));
    s4_load(static_cast<const uint8_t*>(packed.parts[0].raw()), x.elements(), codes.data());
    const auto* expected = static_cast<const uint8_t*>(golden().at(prefix + "codes").raw());
    for (size_t i = 0; i < codes.size(); ++i) ASSERT_EQ(codes[i], expected[i]) << i;
    // torchao's primitives give [out, groups], its Int4Tensor and we keep [groups, out].
    const int64_t groups = packed.in / kS4Group;
    for (size_t part : {1, 2}) {
      const Tensor& theirs = golden().at(prefix + (part == 1 ? "scale" : "zero_point"));
      ASSERT_EQ(theirs.elements(), packed.out * groups);
      for (int64_t i = 0; i < theirs.elements(); ++i) {
        const int64_t at = i % groups * packed.out + i / groups;
        ASSERT_EQ(packed.parts[part].data<bf16>()[at].bits, theirs.data<bf16>()[i].bits) << i;
      }
    }
  });
}

}  // namespace
}  // namespace fluxq
