/// The program on machines whose GPU it cannot use: what it says, and that the CPU goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/program.h"

namespace fluxq::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

struct Machine {
  std::string name;                 ///< FAKE_GPU
  int status;                       ///< of what needs the GPU
  std::string sentence, complaint;  ///< there; of the doctor's checks
  friend std::ostream& operator<<(std::ostream& out, const Machine& machine) {
    return out << machine.name;
  }
};

class UnusableGpu : public ::testing::TestWithParam<Machine> {
 protected:
  static Outcome run(const std::vector<std::string>& arguments) {
    return run_fluxq(arguments, {.environment = {"LD_LIBRARY_PATH=" FAKE_DRIVER,
                                                 "FAKE_GPU=" + GetParam().name}});
  }
  /// Its errors, in a build that could use a GPU; others say that they could not.
  static void expect_refused(const Outcome& outcome) {
    EXPECT_EQ(outcome.status, BUILT_WITH_CUDA ? GetParam().status : 5) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(BUILT_WITH_CUDA ? GetParam().sentence + "; the device cpu"
                                                       : "built without CUDA"));
  }

  TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(
    Machines, UnusableGpu,
    ::testing::Values(
        Machine{"none", 9, "expected one, found none (CUDA_ERROR_NO_DEVICE)", "NO_DEVICE"},
        Machine{"old", 10, "for CUDA 13.0 (driver 580) or newer, got one for CUDA 12.1",
                "install driver 580 or newer"},
        Machine{"ada", 5,
                "the GPU NVIDIA L40S: expected compute capability 9.0 (H100, H200), got 8.9",
                "kernels are for 9.0"}),
    [](const auto& info) { return info.param.name; });

TEST_P(UnusableGpu, GenerateAndBenchRefuseIt) {
  const std::string picture = folder_ / "a.png", run_folder = folder_ / "run";
  expect_refused(run({"generate", "red apple", "--device", "cuda", "-o", picture}));
  EXPECT_FALSE(std::filesystem::exists(picture));
  expect_refused(run({"bench", "--device", "cuda", "-o", run_folder}));
  EXPECT_FALSE(std::filesystem::exists(run_folder));
}

TEST_P(UnusableGpu, TheCpuIsTakenInstead) {
  const Outcome outcome = run({"generate", "red apple", "--steps", "1", "--width", "32", "--height",
                               "32", "-o", folder_ / "a.png"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

TEST_P(UnusableGpu, DoctorSaysWhatIsWrongAndWhatWorks) {
  const Outcome outcome = run({"doctor", "--model", "emoji-flux"});
  // Warnings for a build that would not use it, or where there is none; the machine may have more.
  const bool is_problem = BUILT_WITH_CUDA && GetParam().name != "none";
  EXPECT_THAT(outcome.status, AnyOf(is_problem ? 2 : 1, 2)) << outcome.out;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr(GetParam().complaint), HasSubstr("What works here:"),
                                 HasSubstr("the bundled model on the CPU")));
}

}  // namespace
}  // namespace fluxq::testing
