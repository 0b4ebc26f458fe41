/// `fluxq doctor` as a user runs it, on this machine and against a Hub of our own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "hub/testing_hub.h"
#include "program.h"

namespace fluxq::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// A cache of its own, so that what this machine has does not matter.
RunOptions options_in(const TemporaryFolder& folder, const std::string& endpoint = "") {
  return {.environment = {"HF_HOME=" + folder.path().string(), "HF_TOKEN=hf_secretsecret",
                          "HF_HUB_CACHE=", "HF_TOKEN_PATH=", "HF_ENDPOINT=" + endpoint,
                          "HF_HUB_OFFLINE=0"}};
}

std::string text_of(const Json& report, const std::string& name, const char* member) {
  for (const Json& check : report["checks"])
    if (check["name"] == name) return check[member];
  return "no such check";
}

TEST(Doctor, TextAndJsonAgreeOnTheExitStatus) {
  const TemporaryFolder folder;
  const Outcome text = run_fluxq({"doctor", "--model", "emoji-flux"}, options_in(folder));
  const Outcome json = run_fluxq({"doctor", "--model", "emoji-flux", "--json"}, options_in(folder));
  EXPECT_EQ(text.status, json.status) << text.out;
  EXPECT_THAT(text.out, HasSubstr("What works here:"));
  EXPECT_THAT(text.out + json.out, Not(HasSubstr("secretsecret")));
  const Json report = parse_json(json.out, "doctor");
  const std::vector<std::string> healths = {"ok", "warning", "problem"};
  ASSERT_LT(json.status, 3) << json.err;
  EXPECT_EQ(report["health"], healths[static_cast<size_t>(json.status)]);
  for (const char* name :
       {"program", "processor", "memory", "disk for models", "disk for runs", "GPU driver",
        "CUDA libraries", "model cache", "model", "Hugging Face token"})
    EXPECT_THAT(text_of(report, name, "health"), AnyOf("ok", "warning", "problem")) << name;
  EXPECT_EQ(text_of(report, "model", "health"), "ok");
}

TEST(Doctor, OnlineAsksTheHubWhoseTokenItIsAndWhetherItMayRead) {
  TestingHub hub({});
  bool gated = false;
  hub.on_hub = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    if (request.target == "/api/whoami-v2") return ServerReply{.body = R"({"name":"somebody"})"};
    if (gated) return ServerReply{.status = 403, .headers = {"X-Error-Code: GatedRepo"}};
    return ServerReply{};
  };
  const TemporaryFolder folder;
  const std::vector<std::string> command = {"doctor", "--online", "--json", "--model", "org/name"};
  const Outcome open = run_fluxq(command, options_in(folder, hub.url()));
  const Json report = parse_json(open.out, "doctor");
  EXPECT_EQ(text_of(report, "access to the model", "health"), "ok");
  EXPECT_THAT(text_of(report, "access to the model", "text"), HasSubstr("by somebody"));

  gated = true;
  const Outcome closed = run_fluxq(command, options_in(folder, hub.url()));
  EXPECT_EQ(closed.status, 2);
  EXPECT_THAT(text_of(parse_json(closed.out, "doctor"), "access to the model", "text"),
              HasSubstr("accept its licence"));
  EXPECT_THAT(closed.out + closed.err, Not(HasSubstr("secretsecret")));
}

TEST(Doctor, AnUnknownModelIsAnError) {
  const TemporaryFolder folder;
  EXPECT_EQ(run_fluxq({"doctor", "--model", "no-such-model"}, options_in(folder)).status, 3);
}

}  // namespace
}  // namespace fluxq::testing
