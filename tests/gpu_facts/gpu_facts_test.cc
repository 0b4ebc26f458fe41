/// CudaDriver, Nvml and their users against the stand-in that the loader finds here instead.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/test_support.h"
#include "bench/device_state.h"
#include "doctor/checks.h"
#include "doctor/gpu_facts.h"
#include "kernels/usable_gpu.h"

namespace fluxq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GpuFactsTest : public ::testing::Test {
 protected:
  void SetUp() override { ::unsetenv("FAKE_GPU"); }
  static void choose(const char* machine) { ::setenv("FAKE_GPU", machine, 1); }
};

TEST_F(GpuFactsTest, ReadsDriverDeviceStateAndLibraries) {
  const DriverFacts facts = read_driver();
  EXPECT_TRUE(facts.found);
  EXPECT_EQ(facts.cuda_version, 13000);
  EXPECT_EQ(facts.driver_version, "580.65.06");
  EXPECT_THAT(facts.trouble, IsEmpty());
  EXPECT_EQ(facts.machine_gpus, 1);
  ASSERT_EQ(facts.gpus.size(), 1u);
  const CudaDevice& device = facts.gpus[0].device;
  EXPECT_EQ(device.name, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(device.major, 9);
  EXPECT_EQ(device.minor, 0);
  EXPECT_EQ(device.multiprocessors, 132);
  EXPECT_EQ(device.memory_bytes, 85'000'000'000);
  EXPECT_EQ(device.pci_bus_id, "0000:3b:00.0");
  ASSERT_TRUE(facts.gpus[0].state);
  const GpuState& state = *facts.gpus[0].state;
  EXPECT_EQ(state.clock_mhz, 1980);
  EXPECT_EQ(state.max_clock_mhz, 1980);
  EXPECT_EQ(state.memory_clock_mhz, 2619);
  EXPECT_EQ(state.temperature_c, 34);
  EXPECT_EQ(state.power_w, 71.5);
  EXPECT_EQ(state.power_limit_w, 700);
  EXPECT_EQ(state.free_bytes, 84'000'000'000);
  EXPECT_EQ(state.other_processes, 0);
  EXPECT_EQ(state.ecc_errors, 0);
  EXPECT_EQ(state.is_partitioned, std::nullopt);  // the stand-in lacks that function
  EXPECT_THAT(state.slowdowns, IsEmpty());
  ASSERT_EQ(facts.libraries.size(), 3u);
  EXPECT_EQ(facts.libraries[0].version, "13.0");
  EXPECT_EQ(facts.libraries[1].version, "13.1.0");
  EXPECT_EQ(facts.libraries[2].version, "9.10.2");
  EXPECT_THAT(facts.libraries[2].path, HasSubstr("libcudnn.so.9"));
}

TEST_F(GpuFactsTest, ADriverWithoutDeviceSaysWhy) {
  choose("none");
  const DriverFacts facts = read_driver();
  EXPECT_TRUE(facts.found);
  EXPECT_EQ(facts.trouble, "CUDA_ERROR_NO_DEVICE");
  EXPECT_THAT(facts.gpus, IsEmpty());
}

TEST_F(GpuFactsTest, ABusyGpuIsSeenWithThisProcessLeftOut) {
  choose("busy");
  const DriverFacts facts = read_driver();
  ASSERT_EQ(facts.gpus.size(), 1u);
  ASSERT_TRUE(facts.gpus[0].state);
  EXPECT_EQ(facts.gpus[0].state->other_processes, 3);
  EXPECT_THAT(facts.gpus[0].state->slowdowns, ElementsAre("heat", "power brake"));

  // This process "has a context" there, and its id is not among those listed, as in a container.
  const DeviceState state = read_device_state(Device::cuda);
  EXPECT_EQ(state.other_processes, 2);
  EXPECT_EQ(state.clock_mhz, 1200);
  EXPECT_EQ(state.memory_clock_mhz, 2619);
  EXPECT_EQ(state.temperature_c, 91);
  EXPECT_EQ(state.power_w, 71.5);
}

TEST_F(GpuFactsTest, AGpuIsUsableOrNotForAReason) {
  const auto usable = [] { return usable_gpu(CudaDriver::load().get()); };
  EXPECT_EQ(usable().name, "NVIDIA H100 80GB HBM3");
  choose("none");
  EXPECT_FLUXQ_ERROR(usable(), no_device, "found none (CUDA_ERROR_NO_DEVICE)");
  choose("old");
  EXPECT_FLUXQ_ERROR(usable(), driver_too_old,
                     "CUDA 13.0 (driver 580) or newer, got one for CUDA 12.1");
  choose("ada");
  EXPECT_FLUXQ_ERROR(usable(), unsupported, "the GPU NVIDIA L40S: expected compute capability 9.0");
  EXPECT_FLUXQ_ERROR(usable_gpu(nullptr), no_device, "libcuda.so.1");
}

TEST_F(GpuFactsTest, NvmlDoesNotKnowAnotherGpu) {
  const auto nvml = Nvml::load();
  ASSERT_TRUE(nvml);
  EXPECT_FALSE(nvml->state("0000:99:00.0", false));
}

TEST(DynamicLibraryTest, AMissingLibraryAndAMissingFunctionAreNoErrors) {
  const DynamicLibrary missing("libthere-is-no-such-library.so.7");
  EXPECT_FALSE(missing);
  EXPECT_THAT(missing.trouble(), HasSubstr("libthere-is-no-such-library.so.7"));
  EXPECT_THAT(missing.path(), IsEmpty());
  int (*function)() = nullptr;
  EXPECT_FALSE(missing.find("getpid", function));
  const DynamicLibrary cuda("libcuda.so.1");
  EXPECT_TRUE(cuda);
  EXPECT_FALSE(cuda.find("cuNoSuchFunction", function));
  EXPECT_EQ(CudaDriver::load("libthere-is-no-such-library.so.7"), nullptr);
  EXPECT_EQ(Nvml::load("libthere-is-no-such-library.so.7"), nullptr);
}

}  // namespace
}  // namespace fluxq
