/// `fluxq distort` as a user runs it, on the bundled model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/json.h"
#include "program.h"

namespace fluxq::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<std::string> kSmall = {"--steps", "1", "--width", "64", "--height", "64"};

Outcome distort(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "distort");
  arguments.insert(arguments.end(), kSmall.begin(), kSmall.end());
  return run_fluxq(arguments);
}

TEST(Distort, ListsEachLayerAndSchemeWorstFirst) {
  const Outcome outcome = distort({"--schemes", "int8dq,int4wo", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = parse_json(outcome.out, "stdout");
  std::map<std::string, std::set<std::string>> layers;
  std::vector<double> errors;
  for (const Json& line : json["layers"]) {
    layers[line["scheme"].get<std::string>()].insert(line["layer"].get<std::string>());
    errors.push_back(line["output_error"].get<double>());
    EXPECT_NEAR(line["output_snr_db"].get<double>(), -20 * std::log10(errors.back()), 1e-6);
  }
  EXPECT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers["int8dq"], layers["int4wo"]);
  EXPECT_TRUE(std::ranges::is_sorted(errors, std::greater()));
}

TEST(Distort, ShowsATableOfAllSchemesByDefault) {
  const Outcome outcome = distort({"pizza", "--top", "3"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(std::ranges::count(outcome.out, '\n'), 2 + 3 + 1 + 6) << outcome.out;
  for (const char* scheme :
       {"fp8dqrow: ", "fp8dq: ", "int8dq: ", "int8wo: ", "int4wo: ", "sparse24-int8dq: "})
    EXPECT_THAT(outcome.out, HasSubstr(std::string("\n") + scheme));
  EXPECT_THAT(outcome.out, Not(HasSubstr("nan")));
}

TEST(Distort, RefusesWhatItCannotStudy) {
  const Outcome unknown = distort({"--schemes", "int8"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.err, HasSubstr("int8dq"));
  EXPECT_EQ(distort({"--schemes", "f32"}).status, 2);
  const Outcome size = run_fluxq({"distort", "--width", "100"});
  EXPECT_EQ(size.status, 2);
  EXPECT_THAT(size.err, HasSubstr("multiple of 16"));
}

}  // namespace
}  // namespace fluxq::testing
