/// Runs an operation of kernels.h on a device under test and on the reference, and holds the device
/// to the reference and to the rules of kernels.h: operands are windows into larger memory full of
/// NaN (what is read or written outside of a window shows), a matrix of a batch equals that matrix
/// alone, and the number of threads changes no byte.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <tuple>

#include "kernels/kernels.h"
#include "kernels/testing.h"

namespace fluxq::testing {

/// A device to hold against the reference; `threads` is for those that have any.
struct DeviceUnderTest {
  std::string name;
  std::function<std::unique_ptr<Kernels>(int threads)> make;
  friend std::ostream& operator<<(std::ostream& out, const DeviceUnderTest& device) {
    return out << device.name;
  }
};

/// All devices of this build.
std::vector<DeviceUnderTest> devices_under_test();

/// An argument of an operation: a batch of matrices or of pictures.
struct Operand {
  Tensor values;           ///< at the start; a written operand that is not read starts as NaN
  bool written = false;    ///< by the operation
  bool contiguous = true;  ///< else it is handed over as rows with gaps
  int64_t gap = 0;  ///< elements between rows, and rows between matrices; 0: what fits the columns

  /// Rows [batch, rows, cols] with gaps between the rows and between the matrices.
  static Operand in_rows(Tensor values);
  static Operand out_rows(DType dtype, int64_t batch, int64_t rows, int64_t cols);
  static Operand in_out_rows(Tensor values);
  /// Tensors [batch, ...].
  static Operand in_tensor(Tensor values);
  static Operand out_tensor(DType dtype, Shape shape);
  static Operand in_out_tensor(Tensor values);
};

/// An operand in a device's memory.
struct Placed {
  Tensor storage;  ///< all of its memory
  Tensor tensor;   ///< the operand, where it is contiguous
  Rows rows;       ///< the operand, where it has rows
};

using Operation = std::function<void(Kernels&, const std::vector<Placed>&)>;

/// How far results may be from the reference's, in f32 roundings of the largest result; where the
/// stream or the output is bf16, one bf16 step of each result more (values on two sides of a tie).
struct Precision {
  double roundings = 4;
  double stream_steps = 0;   ///< for rounding inside: bf16 steps of the largest result
  double same_share = 0.95;  ///< of bf16 results, this share has the reference's bits
};

class OpTest : public ::testing::TestWithParam<std::tuple<DeviceUnderTest, DType>> {
 protected:
  DType stream() const { return std::get<1>(GetParam()); }
  /// Standard normal values of the stream's dtype, others at each call.
  Tensor random(Shape shape, double scale = 1, double offset = 0);

  /// All of the above.
  void check(const std::vector<Operand>& operands, const Operation& run, Precision precision);
  /// A NaN or infinity somewhere in any operand makes the same results NaN or not finite as it does
  /// in the reference.
  void check_spoiled(const std::vector<Operand>& operands, const Operation& run);

 private:
  Kernels& device(int threads);
  uint64_t seed_ = 1;
};

std::string test_name(const ::testing::TestParamInfo<OpTest::ParamType>& info);

#define FLUXQ_OP_TESTS(suite)                                                         \
  INSTANTIATE_TEST_SUITE_P(                                                           \
      Devices, suite,                                                                 \
      ::testing::Combine(::testing::ValuesIn(::fluxq::testing::devices_under_test()), \
                         ::testing::Values(DType::f32, DType::bf16)),                 \
      ::fluxq::testing::test_name)

}  // namespace fluxq::testing
