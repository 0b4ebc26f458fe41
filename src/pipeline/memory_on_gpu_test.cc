/// What a generation takes of a GPU's memory, against its plan.
#include <cstdlib>
#include <iostream>

#include "base/test_support.h"
#include "pipeline/text_to_image.h"

namespace fluxq {
namespace {

constexpr int64_t kMegabyte = int64_t{1} << 20;
/// Taken beyond the plan: many small tensors that the device pads, the smallest block of an arena.
constexpr int64_t kPadding = 8 * kMegabyte;
/// Planned and perhaps not taken: workspaces that no algorithm asks for.
constexpr int64_t kSpare = 256 * kMegabyte;

const std::filesystem::path kSource = FLUXQ_SOURCE_DIR;

class GpuMemory : public ::testing::Test {
 protected:
  /// Without a GPU, or in a build without CUDA, there is nothing to test, unless
  /// FLUXQ_REQUIRE_GPU=1 says that there is.
  void SetUp() override {
    const char* required = std::getenv("FLUXQ_REQUIRE_GPU");
    try {
      kernels_ = make_cuda_kernels();
    } catch (const Error& error) {
      const bool is_absent =
          error.code() == ErrorCode::no_device || error.code() == ErrorCode::unsupported;
      if (!is_absent || (required && std::string_view(required) == "1")) throw;
      GTEST_SKIP() << error.what();
    }
  }

  ModelFolder model(const char* name) {
    return read_model_folder(kSource / "models/synthetic" / name, progress_);
  }
  /// On the device now.
  int64_t held_bytes() {
    kernels_->take_peak_bytes();
    return kernels_->take_peak_bytes().value();
  }

  /// The peak of loading and a first run keeps to the plan; runs from the third on, when all graphs
  /// are there, allocate nothing, neither here nor in CUDA's own libraries.
  void check(const ModelFolder& model, const Recipe& recipe, const Request& request,
             Residency residency, AttentionPrecision attention = AttentionPrecision::bf16) {
    const MemoryPlan plan = plan_memory(model, recipe, memory_of(request, residency), *kernels_);
    if (plan.needed_bytes() > kernels_->free_bytes()) GTEST_SKIP() << "too little free memory";
    const int64_t before = held_bytes();
    TextToImage pipeline(model, recipe, *kernels_, progress_, cancel_, residency, attention);
    pipeline.run(request, progress_, cancel_);
    const int64_t peak = kernels_->take_peak_bytes().value() - before;
    const auto megabytes = [](int64_t bytes) { return static_cast<double>(bytes) * 1e-6; };
    std::cout << fmt::format(
        "{} in {} ({} recipe): took {:.0f} of {:.0f} MB planned, {:.0f} of {:.0f} in the arena\n",
        model.name, recipe.main().info().name, recipe.name(), megabytes(peak),
        megabytes(plan.needed_bytes()), megabytes(kernels_->arena().peak_bytes()),
        megabytes(plan.block_bytes));
    EXPECT_LE(peak, plan.needed_bytes() + kPadding);
    EXPECT_GE(peak + kSpare, plan.needed_bytes());
    if (residency == Residency::by_phase) return;
    EXPECT_LE(kernels_->arena().peak_bytes(), plan.block_bytes);

    pipeline.run(request, progress_, cancel_);
    const int64_t held = held_bytes(), free = kernels_->free_bytes();
    for (int run = 0; run < 2; ++run) pipeline.run(request, progress_, cancel_);
    EXPECT_EQ(kernels_->take_peak_bytes().value(), held);
    EXPECT_EQ(kernels_->free_bytes(), free);
  }

  std::unique_ptr<Kernels> kernels_;
  Progress progress_;
  const CancelToken cancel_;
};

class GpuMemoryOfScheme : public GpuMemory, public ::testing::WithParamInterface<const Scheme*> {};

TEST_P(GpuMemoryOfScheme, KeepsToThePlanAndThenAllocatesNothing) {
  const Request request = {.prompt = "red apple",
                           .seeds = {1, 2, 3},
                           .steps = 2,
                           .width = 256,
                           .height = 192,
                           .guidance = 0,
                           .max_text_tokens = 200};
  check(model("flux-tiny"), Recipe::standard(*GetParam()), request, Residency::always);
}

INSTANTIATE_TEST_SUITE_P(Schemes, GpuMemoryOfScheme,
                         ::testing::ValuesIn(all_schemes().begin(), all_schemes().end()),
                         [](const auto& info) {
                           std::string name = info.param->info().name;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

class GpuMemoryOfFlux : public GpuMemory, public ::testing::WithParamInterface<Residency> {};

TEST_P(GpuMemoryOfFlux, KeepsToThePlanInFullSize) {
  const Scheme& scheme = find_scheme("fp8dqrow");
  const Request request = {.prompt = "red apple",
                           .seeds = {1},
                           .steps = 2,
                           .width = 1024,
                           .height = 1024,
                           .guidance = 0,
                           .max_text_tokens = 256};
  check(model("flux-schnell"), Recipe::load(kSource / "recipes/small.json", scheme), request,
        GetParam(), AttentionPrecision::fp8);  // which takes codes as well
}

INSTANTIATE_TEST_SUITE_P(Residencies, GpuMemoryOfFlux,
                         ::testing::Values(Residency::always, Residency::by_phase),
                         [](const auto& info) {
                           return info.param == Residency::always ? "always" : "by_phase";
                         });

}  // namespace
}  // namespace fluxq
