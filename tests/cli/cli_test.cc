/// `fluxq generate` as a user runs it, on the bundled model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/json.h"
#include "image/png.h"
#include "program.h"

namespace fluxq::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

size_t files_in(const fs::path& folder) {
  return static_cast<size_t>(
      std::distance(fs::recursive_directory_iterator(folder), fs::recursive_directory_iterator()));
}

TEST(Generate, APictureOfABatchIsWhatItsSeedGivesAloneForAnyThreadCount) {
  const TemporaryFolder folder;
  const Outcome batch = run_fluxq({"generate", "red apple", "--seed", "5", "--batch", "3",
                                   "--steps", "2", "-o", folder / "batch"});
  ASSERT_EQ(batch.status, 0) << batch.err;
  EXPECT_THAT(batch.out, HasSubstr("red-apple-6.png"));
  const Outcome alone = run_fluxq({"generate", "red apple", "--seed", "6", "--steps", "2",
                                   "--threads", "1", "-o", folder / "alone.png"});
  ASSERT_EQ(alone.status, 0) << alone.err;
  EXPECT_EQ(read_bytes(folder.path() / "batch" / "red-apple-6.png"),
            read_bytes(folder / "alone.png"));
  EXPECT_NE(read_bytes(folder.path() / "batch" / "red-apple-5.png"),
            read_bytes(folder / "alone.png"));
}

TEST(Generate, LikeMakesTheSameBytesAgain) {
  const TemporaryFolder folder;
  const Outcome first =
      run_fluxq({"generate", "pizza and \"soccer ball\" \xF0\x9F\x8D\x95", "--seed", "4294967297",
                 "--scheme", "int8dq", "--width", "128", "--height", "192", "--steps", "3",
                 "--max-text-tokens", "32", "-o", folder / "a.png"});
  ASSERT_EQ(first.status, 0) << first.err;
  const Outcome again = run_fluxq({"generate", "--like", folder / "a.png", "-o", folder / "b.png"});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(read_bytes(folder / "a.png"), read_bytes(folder / "b.png"));
  const Outcome inspect = run_fluxq({"inspect", folder / "a.png"});
  EXPECT_THAT(inspect.out, HasSubstr("seed: 4294967297"));
  EXPECT_THAT(inspect.out, HasSubstr("scheme: int8dq"));
}

TEST(Synthetic, IsDrawnInspectedCoveredAndRemadeButNotQuantized) {
  const TemporaryFolder folder;
  const std::string model = "synthetic:flux-tiny";
  const Outcome drawn = run_fluxq({"generate", "red apple", "-m", model, "--scheme", "fp8dqrow",
                                   "--steps", "1", "-o", folder / "a.png"});
  ASSERT_EQ(drawn.status, 0) << drawn.err;
  const Outcome again = run_fluxq({"generate", "--like", folder / "a.png", "-o", folder / "b.png"});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(read_bytes(folder / "a.png"), read_bytes(folder / "b.png"));

  const Outcome inspect = run_fluxq({"inspect", model});
  EXPECT_THAT(inspect.out, HasSubstr("synthetic:flux-tiny: FLUX.1 schnell-like model"));
  EXPECT_THAT(inspect.out, HasSubstr("transformer (made while it is loaded)"));
  const Outcome coverage =
      run_fluxq({"coverage", "-m", model, "--scheme", "int8dq", "--device", "cpu"});
  EXPECT_THAT(coverage.out, HasSubstr("transformer.single_transformer_blocks.1.proj_out"));
  const Outcome t5_too = run_fluxq({"coverage", "-m", model, "--scheme", "fp8dqrow", "--device",
                                    "cpu", "--recipe", FLUXQ_SOURCE_DIR "/recipes/t5-too.json"});
  EXPECT_EQ(t5_too.status, 0) << t5_too.err;
  for (const char* line : {"text_encoder_2.encoder.block.1.layer.1.DenseReluDense.wi_0 .*fp8dqrow",
                           "text_encoder.encoder.layers.0.mlp.fc1 .*bf16"})
    EXPECT_THAT(t5_too.out, ::testing::ContainsRegex(line));
  const Outcome quantize =
      run_fluxq({"quantize", "-m", model, "--scheme", "int8dq", "-o", folder / "packed"});
  EXPECT_EQ(quantize.status, 5);
  EXPECT_THAT(quantize.err, HasSubstr("expected weights in files, got synthetic ones"));
  EXPECT_FALSE(fs::exists(folder / "packed"));
}

/// As if a GPU had made it.
Picture picture_of_a_gpu() {
  Picture picture;
  picture.image = {.width = 16, .height = 16, .rgb = std::vector<uint8_t>(16 * 16 * 3, 7)};
  picture.info = {.prompt = "red apple",
                  .seed = 1,
                  .steps = 1,
                  .width = 64,
                  .height = 64,
                  .guidance = 0,
                  .max_text_tokens = 8,
                  .scheme = "bf16",
                  .recipe = "",
                  .sampler = "",
                  .model = "synthetic:flux-tiny",
                  .weights_sha256 = "",
                  .version = "0",
                  .device = "cuda"};
  return picture;
}

TEST(Generate, LikeSaysWhenItsDeviceIsAnother) {
  const TemporaryFolder folder;
  write_png(folder / "gpu.png", picture_of_a_gpu());
  const Outcome outcome = run_fluxq(
      {"generate", "--like", folder / "gpu.png", "--device", "cpu", "-o", folder / "cpu.png"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("was made on cuda, this picture on cpu"));
  EXPECT_THAT(run_fluxq({"inspect", folder / "cpu.png"}).out, HasSubstr("device: cpu"));
}

TEST(Generate, LikeTakesTheAttention) {
  const TemporaryFolder folder;
  Picture picture = picture_of_a_gpu();
  picture.info.attention = "int8";
  write_png(folder / "gpu.png", picture);
  EXPECT_THAT(run_fluxq({"inspect", folder / "gpu.png"}).out, HasSubstr("attention: int8"));
  const Outcome outcome = run_fluxq(
      {"generate", "--like", folder / "gpu.png", "--device", "cpu", "-o", folder / "cpu.png"});
  EXPECT_EQ(outcome.status, 5);
  EXPECT_THAT(outcome.err, HasSubstr("attention int8: expected bf16 on the CPU"));
  EXPECT_FALSE(fs::exists(folder / "cpu.png"));
}

TEST(Generate, LowMemoryDrawsTheSamePictures) {
  const TemporaryFolder folder;
  for (const std::vector<std::string>& option :
       {std::vector<std::string>{}, std::vector<std::string>{"--low-memory"}}) {
    std::vector<std::string> command = {"generate",
                                        "red apple",
                                        "pizza",
                                        "-m",
                                        "synthetic:flux-tiny",
                                        "--steps",
                                        "1",
                                        "-o",
                                        folder / (option.empty() ? "all" : "low")};
    command.insert(command.end(), option.begin(), option.end());
    const Outcome outcome = run_fluxq(command);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  for (const char* name : {"red-apple-0.png", "pizza-0.png"})
    EXPECT_EQ(read_bytes(folder.path() / "all" / name), read_bytes(folder.path() / "low" / name));
}

TEST(Generate, PlanShowsWhatWouldFitAndLoadsNothing) {
  const TemporaryFolder folder;
  const Outcome plan = run_fluxq({"generate", "--plan", "-m", "synthetic:flux-tiny", "--scheme",
                                  "int8dq", "--device", "cpu", "-o", folder / "none"});
  EXPECT_EQ(plan.status, 0) << plan.err;
  for (const char* part : {"denoise", "transformer weights", "blocks", "largest batch", "int4wo"})
    EXPECT_THAT(plan.out, HasSubstr(part));
  EXPECT_FALSE(fs::exists(folder / "none"));
  // Half a petabyte of activations.
  const Outcome huge =
      run_fluxq({"generate", "--plan", "-m", "synthetic:flux-dev", "--scheme", "int8dq", "--batch",
                 "1024", "--width", "8192", "--height", "8192", "--device", "cpu"});
  EXPECT_EQ(huge.status, 6);
  EXPECT_THAT(huge.out, HasSubstr("does not fit"));
  EXPECT_THAT(huge.err, HasSubstr("of free host memory"));
}

TEST(Generate, LikeRefusesOtherWeights) {
  const TemporaryFolder folder;
  Picture picture = picture_of_a_gpu();
  picture.info.device = "cpu";
  picture.info.model = "emoji-flux";
  picture.info.weights_sha256 = std::string(64, 'a');
  write_png(folder / "other.png", picture);
  const Outcome outcome =
      run_fluxq({"generate", "--like", folder / "other.png", "-o", folder / "b.png"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("expected weights with sha256 aaaa"));
  EXPECT_FALSE(fs::exists(folder / "b.png"));
}

TEST(Generate, BadArgumentsGetASentenceAndWriteNothing) {
  const struct {
    std::vector<std::string> arguments;
    int status;
    std::string sentence;
  } cases[] = {
      {{"generate", "x", "--width", "100"}, 2, "width: expected a multiple of 16"},
      {{"generate", "x", "--height", "0"}, 2, "height: expected a multiple of 16"},
      {{"generate", "x", "--width", "-16"}, 2, "width: expected a multiple of 16"},
      {{"generate", "x", "--width", "999999984"}, 2, "width: expected a multiple of 16"},
      {{"generate", "x", "--steps", "0"}, 2, "steps: expected 1 to"},
      {{"generate", "x", "--steps", "1000000000"}, 2, "steps: expected 1 to"},
      {{"generate", "x", "--batch", "0"}, 2, "batch: expected 1 or more"},
      {{"generate", "x", "--guidance", "nan"}, 2, "guidance"},
      {{"generate", "x", "--max-text-tokens", "0"}, 2, "max-text-tokens: expected 1 to"},
      {{"generate", "x", "--scheme", "int8"}, 2, "int8dq"},
      {{"generate", "x", "--model", "no-such-model"}, 3, "was not found; looked for"},
      {{"generate", "x", "--device", "tpu"}, 2, "expected auto, cpu or cuda"},
      {{"generate", "x", "--attention", "int"}, 2, "Did you mean \"int8\"?"},
      {{"generate", "x", "--attention", "int8", "--device", "cpu"},
       5,
       "attention int8: expected bf16 on the CPU"},
      {{"generate", "\xff\xfe"}, 2, "UTF-8"},
      {{"generate"}, 2, "expected a prompt"},
      {{"generate", "x", "--prompts", "/no/such/file"}, 3, "/no/such/file"},
      {{"generate", "x", "--no-such-option"}, 2, "--no-such-option"},
      {{"generate", "x", "--width", "16.5"}, 2, "--width: expected an integer"},
      {{"generate", "x", "--width", ""}, 2, "got \"\""},
      {{"generate", "x", "--steps", "99999999999"}, 2, "--steps: expected an integer"},
      {{"generate", "x", "--seed", "-1"}, 2, "--seed: expected an integer from 0"},
      {{"generate", "x", "--seed", "18446744073709551616"},
       2,
       "--seed: expected an integer from 0"},
      {{"generate", "x", "--seed", "0x10"}, 2, "got \"0x10\""},
      {{"generate", "x", "--guidance", "much"}, 2, "--guidance: expected a number"},
      {{"generate", "x", "--guidance", "1e999"}, 2, "guidance: expected a number from"},
      {{"generat", "x"}, 2, "command \"generat\": expected one of generate, "},
  };
  for (const auto& test : cases) {
    const TemporaryFolder folder;
    std::vector<std::string> arguments = test.arguments;
    if (arguments.size() > 1) arguments.insert(arguments.end(), {"-o", folder / "picture.png"});
    const Outcome outcome = run_fluxq(arguments, {.folder = folder.path()});
    EXPECT_EQ(outcome.status, test.status) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(test.sentence));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_THAT(outcome.err, ::testing::StartsWith("fluxq: "));
    EXPECT_FALSE(fs::exists(folder / "picture.png"));
  }
}

TEST(Generate, AMissingOutputFolderIsSaidBeforeAnyWork) {
  const Outcome outcome = run_fluxq({"generate", "x", "-o", "/no/such/folder/a.png"});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.err, HasSubstr("the folder /no/such/folder does not exist"));
}

TEST(Generate, AFullDiskIsADiskFullErrorAndLeavesNoHalfFile) {
  const TemporaryFolder folder;
  const Outcome outcome = run_fluxq({"generate", "x", "--steps", "1", "-o", folder / "a.png"},
                                    {.file_size_limit_bytes = 1000});
  EXPECT_EQ(outcome.status, 11) << outcome.err;
  EXPECT_EQ(files_in(folder.path()), 0u);
}

TEST(Generate, ALongPromptIsCutWithAWarning) {
  const TemporaryFolder folder;
  std::string prompt;
  for (int i = 0; i < 100; ++i) prompt += "apple ";
  const Outcome outcome = run_fluxq({"generate", prompt, "--steps", "1", "--width", "64",
                                     "--height", "64", "-o", folder / "a.png"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("warning: the prompt has"));
  EXPECT_THAT(outcome.err, HasSubstr("cut: "));
}

// It takes 0.2 s; a busy machine gets more. The work that is interrupted would take minutes.
constexpr std::chrono::seconds kSoon{20};

TEST(Generate, AnInterruptStopsItAtOnceAndLeavesNoHalfFile) {
  for (const int after_ms : {0, 60, 400}) {
    const TemporaryFolder folder;
    const Outcome outcome =
        run_fluxq({"generate", "red apple", "--steps", "10000", "-o", folder / "a.png"},
                  {.interrupt_after = std::chrono::milliseconds(after_ms)});
    EXPECT_EQ(outcome.status, 130) << after_ms;
    EXPECT_LT(outcome.stopping, kSoon);
    EXPECT_EQ(files_in(folder.path()), 0u);
  }
  // Inside one long operation, too.
  const TemporaryFolder folder;
  const Outcome large = run_fluxq({"generate", "red apple", "--steps", "1", "--width", "3072",
                                   "--height", "3072", "-o", folder / "a.png"},
                                  {.interrupt_after = std::chrono::milliseconds(1500)});
  EXPECT_EQ(large.status, 130) << large.err;
  EXPECT_LT(large.stopping, kSoon);
  const Outcome terminated =
      run_fluxq({"generate", "red apple", "--steps", "10000", "-o", "/tmp"},
                {.interrupt_after = std::chrono::milliseconds(300), .signal = 15});
  EXPECT_EQ(terminated.status, 143);
}

TEST(Generate, ASmallAddressSpaceIsRefusedWithFigures) {
  const TemporaryFolder folder;
  const Outcome outcome =
      run_fluxq({"generate", "x", "--width", "8192", "--height", "8192", "-o", folder / "a.png"},
                {.address_space_bytes = uint64_t{2} << 30});
  EXPECT_EQ(outcome.status, 6) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("GB of free host memory"));
}

TEST(Generate, MemoryThatRunsOutAnywhereIsSaid) {
  const TemporaryFolder folder;
  const auto status = [&](uint64_t megabytes, const std::string& threads) {
    const Outcome outcome = run_fluxq({"generate", "x", "--steps", "1", "--batch", "4", "--threads",
                                       threads, "-o", folder / "pictures"},
                                      {.address_space_bytes = megabytes << 20});
    if (outcome.status != 0) {
      EXPECT_THAT(outcome.err, HasSubstr("out_of_memory_host"));
    }
    return outcome.status;
  };
  for (uint64_t megabytes = 120; megabytes < 420; megabytes += 40)
    EXPECT_THAT(status(megabytes, "2"), ::testing::AnyOf(0, 6)) << megabytes;
  EXPECT_EQ(status(600, "1024"), 6) << "each thread has a stack";
}

TEST(Generate, ASheetShowsAllPictures) {
  const TemporaryFolder folder;
  const Outcome outcome = run_fluxq({"generate", "red apple", "pizza", "--steps", "1", "--width",
                                     "64", "--height", "64", "--sheet", "-o", folder / "out"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(files_in(folder.path() / "out"), 3u);
  EXPECT_EQ(read_png(folder.path() / "out" / "sheet.png").image.height, 64);
}

TEST(Inspect, TellsWhatAModelIs) {
  const Outcome outcome = run_fluxq({"inspect", "emoji-flux", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\"variant\": \"schnell\""));
  EXPECT_THAT(outcome.out, HasSubstr("\"parameters\": 13"));
  EXPECT_EQ(run_fluxq({"inspect", "/no/such"}).status, 3);
}

TEST(Schemes, TheDocumentedTableIsTheRegistrys) {
  const Outcome outcome = run_fluxq({"schemes", "--markdown"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, read_bytes(FLUXQ_SOURCE_DIR "/docs/schemes.md"))
      << "docs/schemes.md is stale: fluxq schemes --markdown > docs/schemes.md";
}

TEST(Schemes, CoverageNamesTheSchemeAndTheReasonOfEachException) {
  const Outcome outcome = run_fluxq({"coverage", "--scheme", "int8dq", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json coverage = parse_json(outcome.out, "coverage");
  int quantized = 0;
  for (const Json& layer : coverage["layers"]) {
    const bool in_block =
        layer["layer"].get<std::string>().find("transformer_blocks.") != std::string::npos;
    const bool modulation = layer["layer"].get<std::string>().find(".norm") != std::string::npos;
    EXPECT_EQ(layer["scheme"] == "int8dq", in_block && !modulation) << layer["layer"];
    EXPECT_EQ(layer["reason"].get<std::string>().empty(), layer["scheme"] == "int8dq")
        << layer["layer"];
    quantized += layer["scheme"] == "int8dq";
  }
  EXPECT_EQ(quantized,
            2 * 12 + 8 * 5);  // q, k, v, out and two MLP layers per stream; q, k, v, MLP, out
}

TEST(Help, EveryCommandHasAnExample) {
  const Outcome all = run_fluxq({"--help"});
  EXPECT_EQ(all.status, 0);
  // Their names, as an unknown one is told.
  const std::string refusal = run_fluxq({"qqqqqqqqqq"}).err;
  const std::string begin = "expected one of ";
  std::istringstream names(refusal.substr(refusal.find(begin) + begin.size()));
  int commands = 0;
  for (std::string command; names >> command; ++commands) {
    command.pop_back();  // "," or "."
    EXPECT_THAT(all.out, HasSubstr("\n  " + command));
    const std::string help = run_fluxq({command, "--help"}).out;
    EXPECT_THAT(help, HasSubstr("Example: fluxq " + command));
    EXPECT_EQ(run_fluxq({"help", command}).out, help);
  }
  EXPECT_GE(commands, 16);
  EXPECT_EQ(run_fluxq({"help"}).out, all.out);
  EXPECT_THAT(run_fluxq({"help", "cache", "clean"}).out, HasSubstr("--older-than"));
  EXPECT_EQ(run_fluxq({"help", "gnerate"}).status, 2);
}

}  // namespace
}  // namespace fluxq::testing
