/// For tests of what only the GPU has.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string_view>

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/testing.h"

namespace fluxq::conformance {

class CudaFixture : public ::testing::Test {
 protected:
  /// Without a GPU there is nothing to test, unless FLUXQ_REQUIRE_GPU=1 says that there is one.
  void SetUp() override {
    const char* required = std::getenv("FLUXQ_REQUIRE_GPU");
    try {
      kernels_ = testing::make_gpu_under_test();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::no_device || (required && std::string_view(required) == "1"))
        throw;
      GTEST_SKIP() << error.what();
    }
  }
  CudaKernels& kernels() { return cuda_of(*kernels_); }

 private:
  std::unique_ptr<Kernels> kernels_;
};

}  // namespace fluxq::conformance
