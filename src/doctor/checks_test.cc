#include "doctor/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_support.h"
#include "doctor/gpu_facts.h"
#include "doctor/model_facts.h"

namespace fluxq {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// An H100 machine with everything in place.
MachineFacts good_machine() {
  MachineFacts facts;
  facts.build = {.version = "1.2.3", .compiler = "GCC 12.2, release", .architectures = "sm_90a"};
  facts.host = {.system = "Debian",
                .kernel = "Linux 6",
                .processor = "Processor",
                .cores = 32,
                .features = {"avx2", "fma", "avx512f", "avx512_bf16"},
                .kernels = {"oneDNN bf16 (avx512_core_bf16)"},
                .memory_bytes = 256'000'000'000,
                .free_bytes = 200'000'000'000};
  facts.driver.found = true;
  facts.driver.cuda_version = 13000;
  facts.driver.driver_version = "580.65.06";
  facts.driver.machine_gpus = 1;
  GpuState state;
  state.clock_mhz = 1980;
  state.other_processes = 0;
  facts.driver.gpus = {{{.name = "NVIDIA H100",
                         .major = 9,
                         .minor = 0,
                         .multiprocessors = 132,
                         .memory_bytes = 85'000'000'000,
                         .pci_bus_id = "0000:01:00.0"},
                        state}};
  facts.driver.libraries = {
      {.name = "libcublasLt.so.13", .version = "13.1.0", .path = "/lib/x", .trouble = ""}};
  facts.models_disk = {.path = "/cache", .free_bytes = 1'000'000'000'000};
  facts.work_disk = {.path = ".", .free_bytes = 1'000'000'000'000};
  facts.model.name = "org/model";
  facts.model.path = "/cache/org/model";
  facts.model.download_bytes = 34'000'000'000;
  facts.model.needs = {
      {"f32", {70'000'000'000, 48'000'000'000}, {70'000'000'000, 48'000'000'000}, true},
      {"bf16", {35'000'000'000, 24'000'000'000}, {35'000'000'000, 24'000'000'000}, false},
      {"int8dq", {23'000'000'000, 12'000'000'000}, {23'000'000'000, 12'000'000'000}, false}};
  facts.hub.cache = "/cache";
  facts.hub.models = 1;
  facts.hub.token_origin = "HF_TOKEN";
  return facts;
}

Check find(const Diagnosis& diagnosis, std::string_view name) {
  for (const Check& check : diagnosis.checks)
    if (check.name == name) return check;
  ADD_FAILURE() << "no check " << name;
  return {};
}

/// The one line that `spoil` makes worse than ok.
template <typename Spoil>
Check only_complaint(Spoil spoil) {
  MachineFacts facts = good_machine();
  spoil(facts);
  Check complaint;
  int complaints = 0;
  const Diagnosis diagnosis = diagnose(facts);
  for (const Check& check : diagnosis.checks) {
    if (check.health == Health::ok) continue;
    complaint = check;
    ++complaints;
    EXPECT_FALSE(check.advice.empty()) << check.name << " does not say what to do";
  }
  EXPECT_EQ(complaints, 1) << to_json(diagnosis).dump(2);
  return complaint;
}

TEST(DoctorTest, AGoodMachineIsOk) {
  const Diagnosis diagnosis = diagnose(good_machine());
  EXPECT_EQ(diagnosis.health(), Health::ok) << to_json(diagnosis).dump(2);
  for (const Check& check : diagnosis.checks) EXPECT_THAT(check.advice, IsEmpty()) << check.name;
  EXPECT_THAT(diagnosis.works, Contains("org/model on NVIDIA H100 with bf16, int8dq"));
  EXPECT_THAT(find(diagnosis, "program").text, HasSubstr("CUDA kernels for sm_90a"));
  EXPECT_THAT(find(diagnosis, "GPU memory").text, HasSubstr("fits with bf16, int8dq"));
}

TEST(DoctorTest, EachFaultIsOneLineWithAdvice) {
  const struct {
    std::function<void(MachineFacts&)> spoil;
    Health health;
    std::string name, text;
  } cases[] = {
      {[](auto& m) { m.host.features = {"avx"}; }, Health::warning, "processor", "no AVX2"},
      {[](auto& m) { m.host.free_bytes = 599'999'999; }, Health::problem, "memory", "0.6 GB free"},
      {[](auto& m) { m.host.free_bytes = 11'999'999'999; }, Health::warning, "memory",
       "too little for org/model"},
      {[](auto& m) { m.work_disk.free_bytes = 999'999'999; }, Health::warning, "disk for runs",
       "1.0 GB free"},
      {[](auto& m) { m.models_disk.free_bytes = std::nullopt; }, Health::warning, "disk for models",
       "not known"},
      {[](auto& m) { m.driver.cuda_version = 12090; }, Health::problem, "GPU driver",
       "supports CUDA 12.9, expected 13.0"},
      {[](auto& m) { m.driver.gpus.clear(); }, Health::problem, "GPU", "CUDA may use none"},
      {[](auto& m) {
         m.driver.gpus.clear();
         m.driver.machine_gpus = 0;
         m.driver.trouble = "CUDA_ERROR_NO_DEVICE";
       },
       Health::warning, "GPU", "none (CUDA_ERROR_NO_DEVICE)"},
      {[](auto& m) { m.driver.gpus[0].device.minor = 1; }, Health::problem, "compute capability",
       "9.1"},
      {[](auto& m) {
         m.driver.gpus[0].device.major = 8;
         m.driver.gpus[0].device.minor = 6;
       },
       Health::problem, "compute capability", "fp8 needs 8.9"},
      {[](auto& m) { m.driver.gpus[0].device.memory_bytes = 24'000'000'000; }, Health::warning,
       "GPU memory", "fits with int8dq; it does not fit with bf16 (25.0 GB)"},
      {[](auto& m) { m.driver.gpus[0].device.memory_bytes = 23'999'999'999; }, Health::warning,
       "GPU memory", "fits with int8dq with --low-memory; it does not fit with bf16 (25.0 GB)"},
      {[](auto& m) { m.driver.gpus[0].device.memory_bytes = 12'999'999'999; }, Health::problem,
       "GPU memory", "does not fit with bf16 (25.0 GB), int8dq (13.0 GB)"},
      {[](auto& m) { m.driver.gpus[0].state.reset(); }, Health::warning, "GPU state", "NVML"},
      {[](auto& m) { m.driver.gpus[0].state->other_processes = 1; }, Health::warning, "GPU state",
       "1 other process"},
      {[](auto& m) { m.driver.gpus[0].state->slowdowns = {"heat"}; }, Health::warning, "GPU state",
       "held down by heat"},
      {[](auto& m) { m.driver.gpus[0].state->ecc_errors = 2; }, Health::warning, "GPU state",
       "2 uncorrected memory errors"},
      {[](auto& m) { m.driver.gpus[0].state->is_partitioned = true; }, Health::warning, "GPU state",
       "MIG"},
      {[](auto& m) { m.driver.libraries[0].version.clear(); }, Health::problem, "CUDA libraries",
       "not found: libcublasLt.so.13"},
      {[](auto& m) { m.hub.cache_trouble = "cannot list /cache"; }, Health::problem, "model cache",
       "cannot list /cache"},
      {[](auto& m) { m.hub.unfinished_bytes = 5'000'000'000; }, Health::warning, "model cache",
       "5.0 GB are unfinished"},
      {[](auto& m) { m.model.trouble = "a shard is missing"; }, Health::problem, "model",
       "a shard is missing"},
      {[](auto& m) { m.hub.token_trouble = "not a token"; }, Health::problem, "Hugging Face token",
       "not a token"},
      {[](auto& m) {
         m.hub.asked = true;
         m.hub.access_trouble = "org/model is gated";
       },
       Health::problem, "access to the model", "gated"},
  };
  for (const auto& test : cases) {
    const Check check = only_complaint(test.spoil);
    EXPECT_EQ(check.name, test.name);
    EXPECT_EQ(check.health, test.health) << check.text;
    EXPECT_THAT(check.text, HasSubstr(test.text));
  }
}

TEST(DoctorTest, SchemesAreNamedByWhatTheyTake) {
  const ModelFacts model = good_machine().model;
  EXPECT_EQ(fitting_schemes(model, 35'000'000'000, true), "bf16, int8dq");
  EXPECT_EQ(fitting_schemes(model, 34'999'999'999, true), "int8dq, and bf16 with --low-memory");
  EXPECT_EQ(fitting_schemes(model, 12'000'000'000, true), "int8dq with --low-memory");
  EXPECT_EQ(fitting_schemes(model, 11'999'999'999, true), "");
  EXPECT_EQ(fitting_schemes(model, 48'000'000'000, false),
            "bf16, int8dq, and f32 with --low-memory");
}

TEST(DoctorTest, AMachineIsHeldToWhatItsOwnDeviceKeeps) {
  MachineFacts facts = good_machine();
  facts.model.needs = {
      {"int4wo", {34'000'000'000, 18'000'000'000}, {22'000'000'000, 10'000'000'000}, false}};
  facts.host.free_bytes = facts.driver.gpus[0].device.memory_bytes = 25'000'000'000;
  const Diagnosis diagnosis = diagnose(facts);
  EXPECT_THAT(find(diagnosis, "memory").text,
              HasSubstr("on the CPU with int4wo with --low-memory"));
  EXPECT_EQ(find(diagnosis, "memory").details["model_needs_bytes"]["int4wo"], 34'000'000'000);
  EXPECT_THAT(find(diagnosis, "GPU memory").text, EndsWith("fits with int4wo"));
}

TEST(DoctorTest, FetchIsAdvisedOnlyForWhatTheHubMayHave) {
  MachineFacts facts = good_machine();
  EXPECT_THAT(find(diagnose(facts), "Hugging Face token").text, HasSubstr("--online asks"));
  facts.model.trouble = "a shard is missing";
  EXPECT_THAT(find(diagnose(facts), "model").advice, HasSubstr("fluxq fetch org/model"));
  facts.model.name = "/a/folder";
  EXPECT_THAT(find(diagnose(facts), "model").advice, Not(HasSubstr("fetch")));
  EXPECT_THAT(find(diagnose(facts), "Hugging Face token").text, Not(HasSubstr("--online")));
  facts.hub.offline = true;
  EXPECT_THAT(find(diagnose(facts), "Hugging Face token").text, HasSubstr("HF_HUB_OFFLINE is set"));
}

TEST(DoctorTest, ADownloadNeedsItsRoomAndMayNeedAToken) {
  MachineFacts facts = good_machine();
  facts.model.path.clear();
  facts.models_disk.free_bytes = 34'000'000'000;
  facts.hub.token_origin.clear();
  Diagnosis diagnosis = diagnose(facts);
  EXPECT_EQ(find(diagnosis, "disk for models").health, Health::ok);
  EXPECT_THAT(find(diagnosis, "disk for models").text, HasSubstr("enough for org/model (34.0 GB)"));
  EXPECT_EQ(find(diagnosis, "Hugging Face token").health, Health::warning);
  EXPECT_THAT(find(diagnosis, "model").advice, HasSubstr("fluxq fetch org/model"));
  facts.models_disk.free_bytes = 33'999'999'999;
  diagnosis = diagnose(facts);
  EXPECT_EQ(find(diagnosis, "disk for models").health, Health::warning);
}

TEST(DoctorTest, WithoutGpuItSaysWhatStillWorks) {
  MachineFacts facts = good_machine();
  facts.build.architectures.clear();
  facts.driver = {};
  facts.driver.libraries = {
      {.name = "libcudnn.so.9", .version = "", .path = "", .trouble = "no such file"}};
  const Diagnosis diagnosis = diagnose(facts);
  EXPECT_EQ(diagnosis.health(), Health::warning) << to_json(diagnosis).dump(2);
  EXPECT_THAT(find(diagnosis, "GPU driver").advice, HasSubstr("all commands work on the CPU"));
  EXPECT_EQ(find(diagnosis, "CUDA libraries").health, Health::ok);
  EXPECT_THAT(diagnosis.works, Contains("org/model on the CPU, slowly, with f32, bf16, int8dq"));
  EXPECT_THAT(diagnosis.works, Not(Contains(HasSubstr("H100"))));
}

TEST(DoctorTest, ABuildWithoutCudaMakesGpuFaultsWarnings) {
  MachineFacts facts = good_machine();
  facts.build.architectures.clear();
  facts.driver.cuda_version = 12010;
  facts.driver.gpus[0].device.major = 8;
  const Diagnosis diagnosis = diagnose(facts);
  EXPECT_EQ(diagnosis.health(), Health::warning);
  EXPECT_THAT(find(diagnosis, "GPU").advice, HasSubstr("cmake --preset cuda"));
  EXPECT_THAT(find(diagnosis, "GPU driver").advice, HasSubstr("12.2"));
  EXPECT_EQ(find(diagnosis, "compute capability").health, Health::warning);
}

TEST(DoctorTest, JsonHasEveryLineAndTheWorst) {
  MachineFacts facts = good_machine();
  facts.hub.token_trouble = "not a token";
  facts.driver.gpus[0].state->slowdowns = {"heat"};
  const Json json = to_json(diagnose(facts));
  EXPECT_EQ(json["health"], "problem");
  EXPECT_EQ(json["checks"].size(), diagnose(facts).checks.size());
  for (const Json& check : json["checks"]) {
    EXPECT_THAT(check["health"].get<std::string>(), ::testing::AnyOf("ok", "warning", "problem"));
    EXPECT_TRUE(check["details"].is_object());
  }
}

TEST(ModelFactsTest, FluxNeedsFollowFromItsArchitecture) {
  const ModelFacts facts = read_model_facts("no-such-org/FLUX.1-schnell");
  EXPECT_THAT(facts.path, IsEmpty());
  EXPECT_FALSE(facts.is_here());
  // 11.9 + 4.76 + 0.12 + 0.05 billion parameters (FLUX.1's model card, T5-XXL's encoder, CLIP-L's
  // text model, the decoder half of the VAE), two bytes each.
  EXPECT_NEAR(static_cast<double>(facts.download_bytes), 33.7e9, 0.3e9);
  ASSERT_FALSE(facts.needs.empty());
  EXPECT_EQ(facts.needs[0].scheme, "f32");
  EXPECT_TRUE(facts.needs[0].host_only);
  EXPECT_EQ(facts.needs[1].scheme, "bf16");
  EXPECT_NEAR(static_cast<double>(facts.needs[1].gpu.bytes), 34.5e9, 1.5e9);
  // Its largest phase is the transformer's, without the 3.3 billion parameters of the modulation,
  // which is a phase of its own.
  EXPECT_NEAR(static_cast<double>(facts.needs[1].gpu.low_bytes), 17.8e9, 1e9);
  // The CPU expands the four bits of int4wo to those of bf16, a GPU keeps them.
  const auto int4wo = std::ranges::find(facts.needs, "int4wo", &SchemeNeed::scheme);
  ASSERT_NE(int4wo, facts.needs.end());
  EXPECT_EQ(int4wo->cpu.bytes, facts.needs[1].cpu.bytes);
  EXPECT_LT(int4wo->gpu.bytes, 24'000'000'000);
  EXPECT_GT(int4wo->cpu.bytes, 33'000'000'000);
}

TEST(ModelFactsTest, TheBundledModelIsHere) {
  const ModelFacts facts = read_model_facts(FLUXQ_SOURCE_DIR "/models/emoji-flux");
  EXPECT_TRUE(facts.is_here()) << facts.trouble;
  EXPECT_LT(facts.download_bytes, 50'000'000u);
  EXPECT_FLUXQ_ERROR(read_model_facts("no-such-model"), not_found, "no-such-model");
}

TEST(ModelFactsTest, ABrokenFolderIsATroubleNotAnError) {
  const TempFolder folder;
  write_test_file(folder / "model_index.json", "{}");
  const ModelFacts facts = read_model_facts(folder.path().string());
  EXPECT_FALSE(facts.is_here());
  EXPECT_THAT(facts.trouble, HasSubstr("model_index.json"));
}

}  // namespace
}  // namespace fluxq
