#include "kernels/op_test.h"

#include <cstdlib>
#include <cstring>
#include <map>

#include "kernels/ref/ref_kernels.h"

namespace fluxq::testing {
namespace {

// Elements between rows, and rows between matrices: rows of whole chunks of 8 values stay aligned,
// so that devices take their fast paths, the others do not.
int64_t gap_after(int64_t cols) { return cols % 8 == 0 ? 8 : 3; }
constexpr int64_t kMargin = 64;  // elements before and after: pictures stay aligned as tensors are

/// NaN with bits that no operation makes.
void poison(const Tensor& tensor) {
  const auto size = static_cast<size_t>(dtype_bytes(tensor.dtype()));
  const uint32_t bits = tensor.dtype() == DType::bf16 ? 0x7fa5 : 0x7fa5a5a5;
  for (int64_t i = 0; i < tensor.elements(); ++i)
    std::memcpy(static_cast<std::byte*>(tensor.raw()) + i * static_cast<int64_t>(size), &bits,
                size);
}

Tensor poisoned(DType dtype, Shape shape) {
  const Tensor tensor = Tensor::on_host(dtype, std::move(shape));
  poison(tensor);
  return tensor;
}

/// Where an operand's matrices and rows stand in its storage, in elements.
struct Layout {
  int64_t batch, rows, cols, row_stride, batch_stride, total;

  explicit Layout(const Operand& operand) {
    const Shape& shape = operand.values.shape();
    batch = shape[0];
    cols = operand.contiguous ? operand.values.elements() / std::max<int64_t>(1, batch) : shape[2];
    rows = operand.contiguous ? 1 : shape[1];
    const int64_t gap = operand.gap > 0 ? operand.gap : gap_after(cols);
    row_stride = operand.contiguous ? cols : cols + gap;
    batch_stride = operand.contiguous ? rows * cols : (rows + gap) * row_stride;
    total = 2 * kMargin + batch * batch_stride;
  }
  /// f(offset in storage, offset in values, elements) for every row.
  template <typename F>
  void for_each_row(const F& f) const {
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t r = 0; r < rows; ++r)
        f(kMargin + b * batch_stride + r * row_stride, (b * rows + r) * cols, cols);
  }
};

std::byte* bytes_at(const Tensor& tensor, int64_t element) {
  return static_cast<std::byte*>(tensor.raw()) + element * dtype_bytes(tensor.dtype());
}

Tensor storage_of(const Operand& operand) {
  const Layout layout(operand);
  const Tensor storage = poisoned(operand.values.dtype(), {layout.total});
  layout.for_each_row([&](int64_t to, int64_t from, int64_t count) {
    std::memcpy(bytes_at(storage, to), bytes_at(operand.values, from),
                static_cast<size_t>(count * dtype_bytes(storage.dtype())));
  });
  return storage;
}

Placed place(Kernels& kernels, const Operand& operand) {
  const Layout layout(operand);
  Placed placed;
  placed.storage = kernels.upload(storage_of(operand));
  std::byte* data = bytes_at(placed.storage, kMargin);
  const Tensor& values = operand.values;
  if (operand.contiguous)
    placed.tensor =
        Tensor(values.dtype(), values.shape(), kernels.device(),
               std::shared_ptr<void>(std::make_shared<Tensor>(placed.storage), data), data);
  if (!operand.contiguous) {
    placed.rows.data = data;
    placed.rows.dtype = values.dtype();
    placed.rows.batch = layout.batch;
    placed.rows.rows = layout.rows;
    placed.rows.cols = layout.cols;
    placed.rows.batch_stride = layout.batch_stride;
    placed.rows.row_stride = layout.row_stride;
  }
  return placed;
}

/// The operand's values in its downloaded storage; every byte outside of it must be as it was.
Tensor extract(const Operand& operand, const Tensor& storage, bool* outside_untouched) {
  const Layout layout(operand);
  const Tensor values = Tensor::on_host(storage.dtype(), operand.values.shape());
  const Tensor outside = Tensor::on_host(storage.dtype(), storage.shape());
  std::memcpy(outside.raw(), storage.raw(), static_cast<size_t>(storage.bytes()));
  const Tensor nothing = poisoned(storage.dtype(), storage.shape());
  layout.for_each_row([&](int64_t from, int64_t to, int64_t count) {
    const auto size = static_cast<size_t>(count * dtype_bytes(storage.dtype()));
    std::memcpy(bytes_at(values, to), bytes_at(storage, from), size);
    std::memcpy(bytes_at(outside, from), bytes_at(nothing, from), size);
  });
  *outside_untouched = static_cast<bool>(same_bytes(outside, nothing));
  return values;
}

/// What the operands are after the operation ran on fresh copies of them.
std::vector<Tensor> results(Kernels& kernels, const std::vector<Operand>& operands,
                            const Operation& run) {
  std::vector<Placed> placed;
  for (const Operand& operand : operands) placed.push_back(place(kernels, operand));
  run(kernels, placed);
  kernels.synchronize();
  std::vector<Tensor> values;
  for (size_t i = 0; i < operands.size(); ++i) {
    bool outside_untouched = false;
    values.push_back(extract(operands[i], kernels.download(placed[i].storage), &outside_untouched));
    EXPECT_TRUE(outside_untouched) << "operand " << i << " was written outside of its window";
    EXPECT_TRUE(operands[i].written || same_bytes(values[i], operands[i].values))
        << "operand " << i << " was written";
  }
  return values;
}

Operand item(const Operand& operand, int64_t b) {
  Operand alone = operand;
  alone.values = operand.values.slice(b, b + 1);
  return alone;
}

/// Results are at most `precision` away from the reference's.
void expect_near(const Tensor& got, const Tensor& expected, DType stream, Precision precision) {
  const std::vector<double> ours = values(got), theirs = values(expected);
  double largest = 0;
  for (const double v : theirs) largest = std::max(largest, std::abs(v));
  const bool rounds_to_bf16 = stream == DType::bf16 || got.dtype() == DType::bf16;
  const double step = 2 * half_ulp(DType::bf16);
  const double inside =
      precision.roundings * 0x1p-24 * largest + 0x1p-120 + precision.stream_steps * step * largest;
  std::vector<double> tolerance;
  for (const double v : theirs) tolerance.push_back(inside + rounds_to_bf16 * step * std::abs(v));
  EXPECT_TRUE(within(ours, theirs, tolerance));
  if (!rounds_to_bf16 || ours.size() < 200) return;
  double same = 0;
  for (size_t i = 0; i < ours.size(); ++i) same += ours[i] == theirs[i];
  EXPECT_GE(same, precision.same_share * static_cast<double>(ours.size()))
      << "bf16 results with the reference's bits, of " << ours.size();
}

/// Whether there is a GPU to test: not in builds without CUDA, nor where none is found. Any other
/// failure is left to the tests, and with FLUXQ_REQUIRE_GPU=1 also that one.
bool has_gpu() {
#ifdef FLUXQ_CUDA
  const char* required = std::getenv("FLUXQ_REQUIRE_GPU");
  if (required && std::string_view(required) == "1") return true;
  try {
    make_cuda_kernels();
  } catch (const Error& error) {
    return error.code() != ErrorCode::no_device;
  }
  return true;
#else
  return false;
#endif
}

void expect_same(const std::vector<Tensor>& got, const std::vector<Tensor>& expected,
                 const std::string& what) {
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(same_bytes(got[i], expected[i])) << what << ", operand " << i;
}

}  // namespace

std::vector<DeviceUnderTest> devices_under_test() {
  std::vector<DeviceUnderTest> devices = {{"cpu", make_cpu_kernels}};
  if (has_gpu()) devices.push_back({"cuda", [](int) { return make_gpu_under_test(); }});
  return devices;
}

std::string test_name(const ::testing::TestParamInfo<OpTest::ParamType>& info) {
  const auto& [device, stream] = info.param;
  return device.name + "_" + (stream == DType::f32 ? "f32" : "bf16");
}

Operand Operand::in_rows(Tensor values) { return {std::move(values), false, false}; }
Operand Operand::out_rows(DType dtype, int64_t batch, int64_t rows, int64_t cols) {
  return {poisoned(dtype, {batch, rows, cols}), true, false};
}
Operand Operand::in_out_rows(Tensor values) { return {std::move(values), true, false}; }
Operand Operand::in_tensor(Tensor values) { return {std::move(values), false, true}; }
Operand Operand::out_tensor(DType dtype, Shape shape) {
  return {poisoned(dtype, std::move(shape)), true, true};
}
Operand Operand::in_out_tensor(Tensor values) { return {std::move(values), true, true}; }

Tensor OpTest::random(Shape shape, double scale, double offset) {
  return random_tensor(stream(), std::move(shape), seed_++, scale, offset);
}

Kernels& OpTest::device(int threads) {
  static std::map<std::pair<std::string, int>, std::unique_ptr<Kernels>> made;
  const DeviceUnderTest& device = std::get<0>(GetParam());
  std::unique_ptr<Kernels>& kernels = made[{device.name, threads}];
  if (!kernels) kernels = device.make(threads);
  return *kernels;
}

void OpTest::check(const std::vector<Operand>& operands, const Operation& run,
                   Precision precision) {
  const std::vector<Tensor> expected = results(*make_ref_kernels(), operands, run);
  const std::vector<Tensor> got = results(device(1), operands, run);
  for (size_t i = 0; i < operands.size(); ++i)
    if (operands[i].written) expect_near(got[i], expected[i], stream(), precision);
  for (int threads : {2, 5})
    expect_same(results(device(threads), operands, run), got,
                std::to_string(threads) + " threads and 1");
  const int64_t batch = operands[0].values.dim(0);
  for (int64_t b = 0; batch > 1 && b < batch; ++b) {
    std::vector<Operand> alone;
    std::vector<Tensor> of_batch;
    for (size_t i = 0; i < operands.size(); ++i) {
      alone.push_back(item(operands[i], b));
      of_batch.push_back(got[i].slice(b, b + 1));
    }
    expect_same(results(device(2), alone, run), of_batch, "alone and in a batch");
  }
}

void OpTest::check_spoiled(const std::vector<Operand>& operands, const Operation& run) {
  for (size_t spoiled = 0; spoiled < operands.size(); ++spoiled)
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      const Tensor& clean = operands[spoiled].values;
      const std::vector<float> before = to_floats(clean);
      if (std::isnan(before[0])) continue;  // only written
      SCOPED_TRACE(fmt::format("{} in operand {}", bad, spoiled));
      const Tensor floats = Tensor::from<float>(before, clean.shape());
      floats.data<float>()[clean.elements() * 2 / 3] = bad;
      std::vector<Operand> with_bad = operands;
      with_bad[spoiled].values = converted(floats, clean.dtype());
      const std::vector<Tensor> expected = results(*make_ref_kernels(), with_bad, run);
      const std::vector<Tensor> got = results(device(2), with_bad, run);
      for (size_t i = 0; i < operands.size(); ++i) {
        if (!operands[i].written) continue;
        const std::vector<double> ours = values(got[i]), theirs = values(expected[i]);
        int wrong = 0;
        for (size_t j = 0; j < ours.size(); ++j)
          wrong += std::isfinite(ours[j]) != std::isfinite(theirs[j]) ||
                   (std::isnan(bad) && std::isnan(ours[j]) != std::isnan(theirs[j]));
        EXPECT_EQ(wrong, 0) << "results that are finite here or there only";
      }
    }
}

}  // namespace fluxq::testing
