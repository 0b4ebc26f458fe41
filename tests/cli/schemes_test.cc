/// `fluxq schemes` and `fluxq version`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "program.h"

namespace fluxq::testing {
namespace {

using ::testing::HasSubstr;

TEST(Schemes, TextJsonAndTheDocumentTellOfTheSameOnes) {
  const std::string text = run_fluxq({"schemes"}).out;
  const std::string document = read_bytes(FLUXQ_SOURCE_DIR "/docs/schemes.md");
  const Json json = parse_json(run_fluxq({"schemes", "--json"}).out, "schemes");
  ASSERT_GE(json["schemes"].size(), 8u);
  for (const Json& scheme : json["schemes"]) {
    const std::string name = scheme["name"];
    EXPECT_THAT(text, HasSubstr(name + ": "));
    EXPECT_THAT(document, HasSubstr("| `" + name + "` |"));
  }
  EXPECT_EQ(run_fluxq({"schemes", "--json", "--markdown"}).status, 2);
}

TEST(Version, TextAndJsonAgree) {
  const Json json = parse_json(run_fluxq({"version", "--json"}).out, "version");
  const std::string text = run_fluxq({"version"}).out;
  EXPECT_EQ(text, "fluxq " + json["version"].get<std::string>() + "\n");
  EXPECT_EQ(run_fluxq({"--version"}).out, text);
}

}  // namespace
}  // namespace fluxq::testing
