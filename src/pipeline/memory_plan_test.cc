#include "pipeline/memory_plan.h"

#include "base/test_support.h"
#include "kernels/cpu/cpu_kernels.h"
#include "pipeline/memory_table.h"
#include "pipeline/text_to_image.h"

namespace fluxq {
namespace {

using ::testing::HasSubstr;

ModelFolder read(const std::string& name) {
  Progress progress;
  return read_model_folder(std::filesystem::path(FLUXQ_SOURCE_DIR) / "models" / name, progress);
}

constexpr int64_t kMegabyte = int64_t{1} << 20;

MemoryRequest flux_request(int64_t batch, Residency residency = Residency::always) {
  return {.batch = batch,
          .width = 1024,
          .height = 1024,
          .text_tokens = 256,
          .steps = 4,
          .residency = residency};
}

class MemoryPlanTest : public ::testing::Test {
 protected:
  MemoryPlan plan(std::string_view scheme, const MemoryRequest& request,
                  WeightForm form = WeightForm::loaded) {
    return plan_memory(schnell_, Recipe::standard(find_scheme(scheme)), request, *kernels_, form);
  }
  ModelFolder schnell_ = read("synthetic/flux-schnell");
  std::unique_ptr<Kernels> kernels_ = make_cpu_kernels(2);
};

TEST_F(MemoryPlanTest, KnowsFluxesWeights) {
  constexpr WeightForm kPacked = WeightForm::packed;
  const MemoryPlan bf16 = plan("bf16", flux_request(1), kPacked);
  // Two bytes for each parameter of the four parts.
  EXPECT_EQ(bf16.weight_bytes(), 2 * (11'891'178'560 + 4'762'310'656 + 123'060'480 + 49'545'475));
  EXPECT_LT(plan("int8dq", flux_request(1), kPacked).weight_bytes(),
            bf16.weight_bytes() - 8'000'000'000);
  const MemoryPlan low = plan("bf16", flux_request(1, Residency::by_phase), kPacked);
  EXPECT_EQ(low.of(Phase::condition).weight_bytes() + low.of(Phase::denoise).weight_bytes(),
            2 * 11'891'178'560);
  EXPECT_EQ(low.of(Phase::text).weight_bytes(), 2 * (4'762'310'656 + 123'060'480));
  EXPECT_EQ(low.weight_bytes(), low.of(Phase::denoise).weight_bytes());
  // Decoding's activations come after the transformer has gone.
  EXPECT_LT(low.needed_bytes(), low.weight_bytes() + bf16.activation_bytes());
  EXPECT_EQ(low.block_bytes, bf16.of(Phase::denoise).activation_bytes());
}

TEST_F(MemoryPlanTest, ActivationsGrowWithTheBatch) {
  const auto denoise = [&](int64_t batch) {
    return plan("bf16", flux_request(batch)).of(Phase::denoise).activation_bytes();
  };
  // The batch's own part: at least the state, q, k, v and the MLP in bf16.
  const int64_t each = (denoise(9) - denoise(1)) / 8;
  EXPECT_GE(each, 4352 * 3072 * 9 * 2);
  EXPECT_LE(each, 4352 * 3072 * 18 * 2);
}

TEST_F(MemoryPlanTest, WhatDoesNotFitIsRefusedWithWhatWould) {
  const Recipe recipe = Recipe::standard(find_scheme("bf16"));
  const MemoryRequest request = flux_request(4);
  const MemoryPlan needed = plan("bf16", request);
  EXPECT_NO_THROW(check_fits(needed, schnell_, recipe, request, *kernels_, needed.needed_bytes()));
  // The schemes that this processor keeps smaller than bf16 are offered, and no others; where
  // memory is for one phase of the smallest only, that one.
  const int64_t too_little = needed.needed_bytes() - 1;
  const Scheme* smallest = &recipe.main();
  const auto low_bytes = [&](const Scheme& scheme) {
    return plan(scheme.info().name, flux_request(4, Residency::by_phase)).needed_bytes();
  };
  for (const Scheme* scheme : all_schemes()) {
    if (scheme == &recipe.main() || scheme->stream() != recipe.stream()) continue;
    const std::string& name = scheme->info().name;
    const bool fits = plan(name, request).needed_bytes() <= too_little;
    const std::string offer = fmt::format("--scheme {} (", name);
    try {
      check_fits(needed, schnell_, recipe, request, *kernels_, too_little);
      ADD_FAILURE() << "fits";
    } catch (const Error& error) {
      EXPECT_EQ(std::string_view(error.what()).find(offer) != std::string_view::npos, fits)
          << name << ": " << error.what();
    }
    if (low_bytes(*scheme) < low_bytes(*smallest)) smallest = scheme;
  }
  EXPECT_FLUXQ_ERROR(
      check_fits(needed, schnell_, recipe, request, *kernels_, low_bytes(*smallest)),
      out_of_memory_host,
      smallest == &recipe.main()
          ? "What would fit: --low-memory ("
          : fmt::format("What would fit: --scheme {} --low-memory (", smallest->info().name));
  EXPECT_FLUXQ_ERROR(check_fits(needed, schnell_, recipe, request, *kernels_, kMegabyte),
                     out_of_memory_host, "No scheme and no batch of this size would fit");
  const auto low = plan("bf16", flux_request(4, Residency::by_phase)).needed_bytes();
  EXPECT_FLUXQ_ERROR(check_fits(needed, schnell_, recipe, request, *kernels_, low),
                     out_of_memory_host, "--low-memory (");
}

TEST_F(MemoryPlanTest, TheLargestBatchFitsAndTheNextOneDoesNot) {
  const Recipe recipe = Recipe::standard(find_scheme("int8dq"));
  const int64_t available = plan("int8dq", flux_request(5)).needed_bytes() + kMegabyte;
  EXPECT_EQ(largest_batch(schnell_, recipe, flux_request(1), *kernels_, available), 5);
  EXPECT_EQ(largest_batch(schnell_, recipe, flux_request(1), *kernels_, 1), 0);
  const std::string table = memory_table(schnell_, recipe, flux_request(1), *kernels_);
  EXPECT_THAT(table, HasSubstr("synthetic:flux-schnell in int8dq (default recipe) on cpu"));
}

TEST_F(MemoryPlanTest, TheTableTellsWhatLoadingTakes) {
  const Recipe recipe = Recipe::standard(find_scheme("bf16"));
  const MemoryRequest request = flux_request(1, Residency::by_phase);
  const MemoryPlan low = plan("bf16", request);
  // Of conditioning the largest layer is a modulation, of six vectors.
  EXPECT_EQ(low.of(Phase::condition).loading_bytes, 2 * 6 * 3072 * 3072);
  EXPECT_EQ(low.needed_bytes(Phase::condition),
            low.of(Phase::condition).weight_bytes() + low.block_bytes + 2 * 6 * 3072 * 3072);
  EXPECT_EQ(low.needed_bytes(Phase::decode),
            low.of(Phase::decode).weight_bytes() + low.of(Phase::decode).activation_bytes());
  EXPECT_THAT(memory_table(schnell_, recipe, request, *kernels_), HasSubstr("a layer 0.113"));
  EXPECT_THAT(memory_table(schnell_, recipe, flux_request(1), *kernels_),
              ::testing::Not(HasSubstr("to load")));
}

// Also the schemes that the CPU expands. Not the vae's convolutions, which are planned as stored.
TEST(LoadedWeights, AreWhatWasPlanned) {
  Progress progress;
  const CancelToken cancel;
  const std::unique_ptr<Kernels> kernels = make_cpu_kernels(2);
  const ModelFolder model =
      read_model_folder(std::filesystem::path(FLUXQ_SOURCE_DIR) / "models/emoji-flux", progress);
  for (const Scheme* scheme : all_schemes()) {
    SCOPED_TRACE(scheme->info().name);
    const Recipe recipe = Recipe::standard(*scheme);
    const MemoryPlan plan =
        plan_memory(model, recipe, {.width = 64, .height = 64, .text_tokens = 16}, *kernels);
    const ModelParts parts(model, recipe, *kernels, Residency::always, progress, cancel);
    std::map<std::string, int64_t> loaded, planned;
    for (const auto& [part, bytes] : parts.part_bytes()) loaded[part + " weights"] = bytes;
    for (const auto& [name, bytes] : plan.of(Phase::denoise).weights) planned[name] = bytes;
    for (auto* parts_bytes : {&loaded, &planned}) EXPECT_EQ(parts_bytes->erase("vae weights"), 1u);
    EXPECT_EQ(planned, loaded);
  }
}

// Counts what is allocated beside the arena.
class CountingKernels final : public CpuKernels {
 public:
  CountingKernels() : CpuKernels(2) {}
  Tensor allocate(DType dtype, Shape shape) override {
    ++allocations;
    return CpuKernels::allocate(dtype, std::move(shape));
  }
  Tensor upload(const Tensor& host) override {
    ++allocations;
    return CpuKernels::upload(host);
  }
  int allocations = 0;
};

// The plan covers what a run takes, without being far from it; a second run allocates nothing.
TEST(Reserved, APlannedRunTakesWhatWasPlanned) {
  Progress progress;
  const CancelToken cancel;
  for (const char* scheme : {"f32", "bf16", "fp8dqrow", "fp8dq", "int8dq", "int8wo", "int4wo"}) {
    for (const int batch : {1, 6}) {
      SCOPED_TRACE(fmt::format("{}, batch {}", scheme, batch));
      CountingKernels kernels;
      const Recipe recipe = Recipe::standard(find_scheme(scheme));
      TextToImage pipeline(read("synthetic/flux-tiny"), recipe, kernels, progress, cancel);
      Request request = {.prompt = "red apple",
                         .seeds = std::vector<uint64_t>(static_cast<size_t>(batch), 1),
                         .steps = 1,
                         .width = 256,
                         .height = 192,
                         .guidance = 0,
                         .max_text_tokens = 200};
      const MemoryPlan plan =
          plan_memory(pipeline.model(), recipe, memory_of(request, Residency::always), kernels);
      pipeline.run(request, progress, cancel);
      const Arena& arena = kernels.arena();
      EXPECT_LE(arena.peak_bytes(), plan.activation_bytes());
      EXPECT_GE(2 * arena.peak_bytes() + 16 * kMegabyte, plan.activation_bytes());
      EXPECT_EQ(arena.reserved_bytes(), plan.activation_bytes());

      const int before = kernels.allocations;
      pipeline.run(request, progress, cancel);
      EXPECT_EQ(kernels.allocations, before);
      EXPECT_EQ(arena.reserved_bytes(), plan.activation_bytes());
    }
  }
}

// What is on the device between phases, and that reloading changes nothing.
TEST(LowMemory, KeepsOnePhaseAndDrawsTheSame) {
  Progress progress;
  const CancelToken cancel;
  const std::unique_ptr<Kernels> kernels = make_cpu_kernels(2);
  const ModelFolder model = read("synthetic/flux-tiny");
  const Recipe recipe = Recipe::standard(find_scheme("int8dq"));
  ModelParts parts(model, recipe, *kernels, Residency::by_phase, progress, cancel);
  EXPECT_EQ(parts.loaded_bytes(), 0);
  const auto bytes = [&](const char* part) { return parts.part_bytes().at(part); };
  EXPECT_TRUE(parts.enter(Phase::text, progress, cancel));
  EXPECT_FALSE(parts.enter(Phase::text, progress, cancel));
  EXPECT_EQ(parts.loaded_bytes(), bytes("text_encoder") + bytes("text_encoder_2"));
  EXPECT_TRUE(parts.enter(Phase::condition, progress, cancel));
  const int64_t conditioning = parts.loaded_bytes();
  EXPECT_TRUE(parts.enter(Phase::denoise, progress, cancel));
  EXPECT_EQ(conditioning + parts.loaded_bytes(), bytes("transformer"));
  EXPECT_TRUE(parts.enter(Phase::decode, progress, cancel));
  EXPECT_EQ(parts.loaded_bytes(), bytes("vae"));
  parts.leave();
  EXPECT_EQ(parts.loaded_bytes(), 0);
  const size_t layers = parts.coverage().size();
  EXPECT_TRUE(parts.enter(Phase::text, progress, cancel));
  EXPECT_EQ(parts.coverage().size(), layers);  // once each
  parts.leave();                               // in the middle of a run
  EXPECT_EQ(parts.loaded_bytes(), 0);
}

}  // namespace
}  // namespace fluxq
