/// Memory that runs out in a destructor.
#include "cli/out_of_memory.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

#include "base/error.h"

namespace fluxq::cli {
namespace {

template <typename Thrown>
void throw_it() {
  throw Thrown();
}

template <typename Thrown>
void throw_where_nothing_may_be_thrown() noexcept {
  report_uncaught_bad_alloc();
  throw_it<Thrown>();
}

struct OtherError : std::runtime_error {
  OtherError() : std::runtime_error("other") {}
};

TEST(OutOfMemoryDeathTest, InADestructorItIsReportedLikeAnyOther) {
  EXPECT_EXIT(throw_where_nothing_may_be_thrown<std::bad_alloc>(),
              ::testing::ExitedWithCode(error_info(ErrorCode::out_of_memory_host).exit_status),
              "fluxq: out_of_memory_host: an allocation failed");
  EXPECT_DEATH(throw_where_nothing_may_be_thrown<OtherError>(), "OtherError");
}

}  // namespace
}  // namespace fluxq::cli
