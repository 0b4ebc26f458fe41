#include "report/report.h"

#include <cstdlib>

#include "base/test_support.h"
#include "report/testing.h"

namespace fluxq::report {
namespace {

// Not a check: writes the example run's report for eyes and for tools/check_report.py.
TEST(Report, WritesAnExampleWhereAsked) {
  const char* folder = std::getenv("FLUXQ_EXAMPLE_RUN");
  if (folder == nullptr) GTEST_SKIP() << "FLUXQ_EXAMPLE_RUN names no folder";
  const char* side = std::getenv("FLUXQ_EXAMPLE_SIDE");
  const char* prompts = std::getenv("FLUXQ_EXAMPLE_PROMPTS");
  Results results = example_results(prompts ? std::atoi(prompts) : 4, 2);
  draw_pictures(results, folder, side ? std::atoi(side) : 256);
  store(results, folder);
  const Report report = make_report(results, folder, {});
  write_report(report, folder);
  for (const std::string& problem : report.problems) std::puts(problem.c_str());
}

}  // namespace
}  // namespace fluxq::report
