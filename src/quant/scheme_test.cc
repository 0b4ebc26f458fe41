#include "quant/scheme.h"

#include <set>

#include "base/test_support.h"
#include "kernels/ref/ref_kernels.h"

namespace fluxq {
namespace {

TEST(Schemes, AreFoundByName) {
  for (const Scheme* scheme : all_schemes()) EXPECT_EQ(&find_scheme(scheme->info().name), scheme);
}

TEST(Schemes, UnknownNamesGetNearOnes) {
  EXPECT_FLUXQ_ERROR(find_scheme("int8"), bad_argument, "Did you mean \"int8dq\"");
  EXPECT_FLUXQ_ERROR(find_scheme("nonsense-name"), bad_argument, "expected one of f32, bf16, ");
  EXPECT_FLUXQ_ERROR(find_scheme(""), bad_argument, "expected one of");
}

TEST(Schemes, SayAllAboutThemselves) {
  std::set<std::string> names;
  for (const Scheme* scheme : all_schemes()) {
    const SchemeInfo& info = scheme->info();
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_TRUE(info.summary.ends_with(".")) << info.name;
    for (const std::string* text : {&info.weight, &info.activation, &info.good_for})
      EXPECT_FALSE(text->empty()) << info.name;
  }
}

TEST(Schemes, MissingKernelsAreNamed) {
  EXPECT_FLUXQ_ERROR(fail_no_kernels(find_scheme("bf16"), Device::cuda), unsupported,
                     "scheme bf16 has no kernel for cuda");
  EXPECT_FLUXQ_ERROR(fail_no_kernels(find_scheme("bf16"), Device::cpu), unsupported, "f32, bf16");
  RefKernels reference;  // the host, but not the kernels that the schemes are built on
  EXPECT_FLUXQ_ERROR(find_scheme("bf16").on(reference), internal, "CPU");
}

}  // namespace
}  // namespace fluxq
