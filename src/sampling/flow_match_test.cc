#include "sampling/flow_match.h"

#include <gtest/gtest.h>

#include <bit>

#include "base/error.h"
#include "base/file.h"

namespace fluxq {
namespace {

/// How many float steps apart two positive floats, or a float and the bits of one, are.
int64_t ulps(float value, int64_t bits) {
  return std::abs(static_cast<int64_t>(std::bit_cast<uint32_t>(value)) - bits);
}

FlowMatchConfig parse(std::string_view text) {
  return parse_flow_match_config(parse_json(text, "test"), "test");
}

ErrorCode code_of(std::string_view text, int64_t steps = 4, int64_t tokens = 256) {
  try {
    flow_match_sigmas(parse(text), steps, tokens);
  } catch (const Error& error) {
    EXPECT_FALSE(std::string_view(error.what()).empty());
    return error.code();
  }
  ADD_FAILURE() << "no error for " << text;
  return ErrorCode::internal;
}

TEST(FlowMatch, EqualsDiffusersBitForBit) {
  const std::string path = FLUXQ_SOURCE_DIR "/tests/golden/sampling/sigmas.json";
  const Json rows = parse_json(read_text_file(path, 1 << 20), path);
  ASSERT_GT(rows.size(), 50u);
  for (const Json& row : rows) {
    SCOPED_TRACE(row.at("config").dump() + " steps " + row.at("steps").dump() + " tokens " +
                 row.at("tokens").dump());
    const FlowMatchConfig config = parse_flow_match_config(row.at("config"), "golden");
    const std::vector<float> sigmas =
        flow_match_sigmas(config, row.at("steps").get<int64_t>(), row.at("tokens").get<int64_t>());
    ASSERT_EQ(sigmas.size(), row.at("sigmas").size());
    for (size_t i = 0; i < sigmas.size(); ++i)
      EXPECT_EQ(ulps(sigmas[i], row.at("sigmas")[i].get<int64_t>()), 0) << "sigma " << i;
    for (size_t i = 0; i + 1 < sigmas.size(); ++i)
      EXPECT_EQ(
          ulps(transformer_timestep(config, sigmas[i]), row.at("timesteps")[i].get<int64_t>()), 0)
          << "timestep " << i;
  }
}

TEST(FlowMatch, TheBundledModelTakesEvenSteps) {
  const std::string path = FLUXQ_SOURCE_DIR "/models/emoji-flux/scheduler/scheduler_config.json";
  const FlowMatchConfig config =
      parse_flow_match_config(parse_json(read_text_file(path, 1 << 20), path), path);
  EXPECT_EQ(flow_match_sigmas(config, 4, 256), (std::vector<float>{1, 0.75, 0.5, 0.25, 0}));
}

TEST(FlowMatch, RefusesWhatItDoesNotDo) {
  EXPECT_EQ(code_of(R"({"stochastic_sampling": true})"), ErrorCode::unsupported);
  EXPECT_EQ(code_of(R"({"use_beta_sigmas": true})"), ErrorCode::unsupported);
  EXPECT_EQ(code_of(R"({"use_flow_sigmas": true})"), ErrorCode::unsupported);
  EXPECT_EQ(code_of(R"({"sigma_max": 2})"), ErrorCode::unsupported);
  EXPECT_EQ(code_of(R"({"_class_name": "EulerDiscreteScheduler"})"), ErrorCode::unsupported);
  EXPECT_EQ(code_of(R"({"time_shift_type": "cubic"})"), ErrorCode::corrupt_file);
  EXPECT_EQ(code_of(R"({"shift": "3"})"), ErrorCode::corrupt_file);
  EXPECT_EQ(code_of(R"({"shift": 0})"), ErrorCode::corrupt_file);
  EXPECT_EQ(code_of(R"({"shift": -1})"), ErrorCode::corrupt_file);
  EXPECT_EQ(code_of(R"({"num_train_timesteps": 0})"), ErrorCode::corrupt_file);
  EXPECT_EQ(code_of(R"({"use_karras_sigmas": true, "use_exponential_sigmas": true})"),
            ErrorCode::corrupt_file);
  EXPECT_EQ(code_of("[]"), ErrorCode::corrupt_file);
}

TEST(FlowMatch, RefusesSizesOutOfRange) {
  EXPECT_EQ(code_of("{}", 0), ErrorCode::bad_argument);
  EXPECT_EQ(code_of("{}", -1), ErrorCode::bad_argument);
  EXPECT_EQ(code_of("{}", kMaxSteps + 1), ErrorCode::bad_argument);
  EXPECT_EQ(code_of("{}", 4, 0), ErrorCode::bad_argument);
}

TEST(FlowMatch, RefusesSchedulesThatAreNotNumbers) {
  EXPECT_EQ(code_of(R"({"use_dynamic_shifting": true, "max_image_seq_len": 256})"),
            ErrorCode::unsupported);  // 0 / 0 tokens
  EXPECT_EQ(code_of(R"({"use_dynamic_shifting": true, "max_shift": 1e6})", 4, 4096),
            ErrorCode::unsupported);  // e^1000000
  EXPECT_EQ(code_of(R"({"shift_terminal": 0.1})", 1),
            ErrorCode::unsupported);  // nothing to stretch
  EXPECT_EQ(code_of(R"({"shift": 1e300})"), ErrorCode::unsupported);
}

}  // namespace
}  // namespace fluxq
