#include "bench/survey.h"

#include <csignal>

#include "base/test_support.h"
#include "bench/testing.h"

namespace fluxq {
namespace {

using ::testing::HasSubstr;

SurveyOrder sample_order() {
  Plan plan = testing::sample_plan();
  plan.model = FLUXQ_SOURCE_DIR "/models/emoji-flux";
  return {.device = "cpu", .threads = 1, .ceilings = false, .plan = plan};
}

/// What the run hears of a worker that does this with its order.
Survey ask(const std::string& script) {
  std::signal(SIGPIPE, SIG_IGN);  // as the program does
  Progress progress;
  return ask_for_survey({"/bin/sh", "-c", "read -r order; " + script}, sample_order(), progress,
                        CancelToken());
}

TEST(SurveyTest, AWorkersAnswerArrives) {
  const Survey sent = {.memory = "much\n  or little",
                       .noise_floor = NoiseFloor::f32_run,
                       .ceilings = {.flops = {{"bf16", 3e12}, {"s8", 5e12}}, .bytes = 2e10}};
  const TempFolder folder;
  Answer answer;
  answer.kind = Answer::Kind::survey;
  answer.survey = sent;
  write_test_file(folder / "answer", to_line(answer));
  const Survey got = ask("cat " + (folder / "answer").string());
  EXPECT_EQ(got.memory, sent.memory);
  EXPECT_EQ(got.noise_floor, sent.noise_floor);
  EXPECT_EQ(got.ceilings.flops, sent.ceilings.flops);
  EXPECT_EQ(got.ceilings.bytes, sent.ceilings.bytes);
}

TEST(SurveyTest, AWorkersErrorIsTheRuns) {
  const auto failed = [](const std::string& code) {
    return R"(echo '{"say":"failed","code":")" + code + R"(","text":"as told"}')";
  };
  EXPECT_FLUXQ_ERROR(ask(failed("device_lost")), device_lost, "as told");
  EXPECT_FLUXQ_ERROR(ask(failed("disk_full")), disk_full, "as told");
  EXPECT_FLUXQ_ERROR(ask(failed("bad luck")), internal, "as told");
  EXPECT_FLUXQ_ERROR(ask("echo why >&2; exit 3"), internal,
                     "ended with status 3; it said: \"why\"");
  EXPECT_FLUXQ_ERROR(ask("echo nonsense"), internal, "the worker answered \"nonsense\"");
}

TEST(SurveyTest, TellsWhatEachSchemeNeeds) {
  Progress progress;
  Order asked;
  asked.kind = Order::Kind::survey;
  asked.survey = sample_order();
  const Order order = order_from(to_line(asked));
  const Survey survey = survey_machine(order.survey, progress);
  for (const std::string& scheme : sample_order().plan.schemes)
    EXPECT_THAT(survey.memory, HasSubstr("\n  " + scheme));
  EXPECT_EQ(survey.noise_floor, NoiseFloor::f32_run);
  EXPECT_TRUE(survey.ceilings.flops.empty());  // not asked for
}

}  // namespace
}  // namespace fluxq
