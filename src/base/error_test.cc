#include "base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace fluxq {
namespace {

TEST(Error, TableIsInOrderOfTheCodesAndItsNamesAreUnique) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < error_table().size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(error_table()[i].code), i);
    EXPECT_TRUE(names.insert(error_table()[i].name).second);
    EXPECT_NE(error_table()[i].exit_status, 0);
  }
  EXPECT_EQ(error_table().back().code, ErrorCode::internal);
}

TEST(Error, ErrnoKeepsItsMeaning) {
  const auto code_of = [](int number) {
    try {
      fail_errno("cannot write x", number);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::StartsWith("cannot write x: "));
      return error.code();
    }
  };
  EXPECT_EQ(code_of(ENOENT), ErrorCode::not_found);
  EXPECT_EQ(code_of(ENOSPC), ErrorCode::disk_full);
  EXPECT_EQ(code_of(EACCES), ErrorCode::io);
}

TEST(Error, NearMatchesNameTheLikelyOnesOnly) {
  const std::vector<std::string> schemes = {"bf16", "fp8dq", "fp8dqrow", "int8dq",
                                            "sparse24-int8dq"};
  EXPECT_EQ(near_matches("int8d", schemes).front(), "int8dq");
  EXPECT_TRUE(near_matches("zzzzzzzz", schemes).empty());
  EXPECT_EQ(did_you_mean("bf61", schemes), " Did you mean \"bf16\"?");
  EXPECT_EQ(did_you_mean("zzzzzzzz", schemes), "");
}

}  // namespace
}  // namespace fluxq
