// GCC 12 sees uninitialized functions inside std::regex where the address sanitizer is on (GCC's
// bug 105562).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "report/report.h"

#include <cmath>
#include <cstdlib>
#include <map>
#include <regex>

#include "base/file.h"
#include "base/json.h"
#include "base/test_support.h"
#include "bench/store.h"
#include "report/testing.h"

namespace fluxq::report {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

const fs::path kGolden = FLUXQ_SOURCE_DIR "/tests/golden/report";

std::map<std::string, std::string> files_of(const Report& report) {
  std::map<std::string, std::string> files;
  for (const ReportFile& file : report.files) files[file.path] = file.bytes;
  return files;
}

size_t count(std::string_view text, std::string_view part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

// Texts cut into numbers with a fraction and what stands between them.
std::vector<std::string> pieces(const std::string& text) {
  static const std::regex number("[0-9]+\\.[0-9]+(e[+-][0-9]+)?");
  std::vector<std::string> pieces;
  auto rest = text.cbegin();
  for (std::sregex_iterator at(text.begin(), text.end(), number), end; at != end; ++at) {
    pieces.emplace_back(rest, (*at)[0].first);
    pieces.push_back(at->str());
    rest = (*at)[0].second;
  }
  pieces.emplace_back(rest, text.cend());
  return pieces;
}

// The same text, but for the last digits of doubles: logarithms differ by processor in theirs.
::testing::AssertionResult same(const std::string& got, const std::string& expected) {
  const std::vector<std::string> ours = pieces(got), theirs = pieces(expected);
  const size_t count = std::min(ours.size(), theirs.size());
  for (size_t i = 0; i < count; ++i) {
    if (ours[i] == theirs[i]) continue;
    const bool is_number = i % 2 == 1;
    const double a = is_number ? std::stod(ours[i]) : 0, b = is_number ? std::stod(theirs[i]) : 1;
    if (!(std::abs(a - b) <= 1e-9 * std::abs(b)))
      return ::testing::AssertionFailure() << "got " << ours[i] << "\nexpected " << theirs[i];
  }
  if (ours.size() != theirs.size()) return ::testing::AssertionFailure() << "another length";
  return ::testing::AssertionSuccess();
}

// A run without its pictures, whose bytes depend on the PNG and math libraries: what is read here
// is words, figures and charts. FLUXQ_UPDATE_GOLDEN=1 writes the files anew, to be read in the
// diff.
TEST(Report, OfAStoredRunIsTheGoldenOne) {
  const TempFolder folder;
  store(example_results(2, 2), folder.path());
  const Results results = load_results(folder.path());
  const Report report = make_report(results, folder.path(), {});
  std::map<std::string, std::string> files = files_of(report);
  files["recommendation.json"] =
      recommendation_json(recommend(analyse(results), {}), analyse(results));
  EXPECT_FALSE(report.problems.empty()) << "its pictures are missing";
  const bool update = std::getenv("FLUXQ_UPDATE_GOLDEN") != nullptr;
  for (const char* name : {"report.md", "report.html", "matrix.csv", "recommendation.json",
                           "report/quality-speed.svg"}) {
    const fs::path golden = kGolden / fs::path(name).filename();
    if (update) {
      fs::create_directories(kGolden);
      atomic_write(golden, files[name]);
    }
    EXPECT_TRUE(same(files[name], read_text_file(golden, 1 << 24))) << name;
  }
}

TEST(Report, TheSameRunGivesTheSameBytes) {
  const TempFolder folder;
  Results results = example_results(1, 1);
  draw_pictures(results, folder.path(), 32);
  EXPECT_EQ(files_of(make_report(results, folder.path(), {})),
            files_of(make_report(results, folder.path(), {})));
}

TEST(Report, TheJsonHoldsEveryCell) {
  const Report report = make_report(example_results(1, 1), "/nowhere", {});
  const Json json = parse_json(files_of(report)["results.json"], "results.json");
  EXPECT_EQ(json["cells"].size(), 5u * 4u);
}

TEST(Report, ThePageStandsAlone) {
  const TempFolder folder;
  Results results = example_results(2, 1);
  draw_pictures(results, folder.path(), 64);
  const Report report = make_report(results, folder.path(), {});
  EXPECT_TRUE(report.problems.empty());
  std::map<std::string, std::string> files = files_of(report);
  const std::string& html = files["report.html"];
  EXPECT_EQ(count(html, "<script"), 0u);
  EXPECT_EQ(count(html, "<link"), 0u);
  EXPECT_EQ(count(html, "src=\""), count(html, "src=\"data:image/png;base64,"));
  EXPECT_GT(count(html, "src=\"data:image/png;base64,"), 10u);
  EXPECT_EQ(count(html, "url("), 0u);
  EXPECT_GT(count(html, "<svg"), 2u);
  for (const char* id : {"recommendation", "targets", "performance", "memory", "pictures", "drift",
                         "environment", "method", "limits"})
    EXPECT_THAT(html, HasSubstr(std::string("<section id=\"") + id)) << id;
  // Every picture that the Markdown names is there.
  const std::string& markdown = files["report.md"];
  for (size_t at = markdown.find("]("); at != std::string::npos; at = markdown.find("](", at + 1)) {
    const std::string path = markdown.substr(at + 2, markdown.find(')', at) - at - 2);
    EXPECT_TRUE(files.contains(path) || fs::exists(folder / path)) << path;
  }
}

TEST(Report, NothingThatARunNamesIsMarkup) {
  const std::string evil =
      "<script>alert(1)</script>\"><img src=x onerror=alert(2)>\n| [a](javascript:b) =cmd()\xFF";
  Results results = example_results(1, 1);
  results.plan.prompts = {evil};
  results.environment.model_name = results.environment.device_name = evil;
  results.environment.driver = results.environment.os = results.environment.build = evil;
  for (Cell& cell : results.cells) {
    if (cell.status == CellStatus::failed) cell.failure = "=" + evil;
    cell.notes = {evil};
  }
  results.failures[0].sentence = evil;
  results.accepted_changes = {{evil, evil, evil, evil}};
  const TempFolder folder;
  draw_pictures(results, folder.path(), 32);
  fs::remove(folder / results.pictures.back().file);  // its name is in a problem
  std::map<std::string, std::string> files = files_of(make_report(results, folder.path(), {}));
  for (const auto& [name, bytes] : files) {
    if (name.ends_with(".png") || name.ends_with(".json")) continue;
    EXPECT_THAT(bytes, Not(HasSubstr("\xFF"))) << name;
    if (name.ends_with(".csv")) continue;
    EXPECT_EQ(count(bytes, "<script"), count(bytes, "\\<script")) << name;
    EXPECT_EQ(count(bytes, "<img src=x"), count(bytes, "\\<img src=x")) << name;
    if (!name.ends_with(".md")) continue;
    EXPECT_THAT(bytes, Not(HasSubstr("[a](javascript"))) << name;
    EXPECT_THAT(bytes, Not(HasSubstr("\n| [a"))) << name;
  }
  EXPECT_THAT(files["report.html"], HasSubstr("&lt;script&gt;alert(1)"));
  EXPECT_THAT(files["matrix.csv"], HasSubstr("\"'=<script"));
  EXPECT_NO_THROW(parse_json(files["results.json"], "results.json"));
}

TEST(Report, AMissingOrChangedPictureIsSaid) {
  const TempFolder folder;
  Results results = example_results(1, 1);
  draw_pictures(results, folder.path(), 32);
  fs::remove(folder / results.pictures[1].file);
  write_test_file(folder / results.pictures[2].file, "not what was drawn");
  const Report report = make_report(results, folder.path(), {});
  EXPECT_FALSE(report.problems.empty());
}

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
