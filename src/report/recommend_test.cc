#include "report/recommend.h"

#include <cmath>
#include <functional>
#include <random>

#include "base/test_support.h"
#include "report/testing.h"

namespace fluxq::report {
namespace {

using ::testing::HasSubstr;

struct Made {
  std::string scheme;
  double total_ms;
  double flip;
  int64_t peak_bytes = 10'000'000'000;
};

// A run at batch 1 of these schemes, 12 repeats that scatter by 0.5 % and 10 pictures by a tenth.
Results run_of(const std::vector<Made>& schemes) {
  Results results;
  results.plan.batches = {1};
  results.plan.sizes = {{64, 64}};
  results.plan.prompts = {"red apple"};
  std::mt19937_64 random(3);
  uint64_t stream = 1;
  for (const Made& made : schemes) {
    results.plan.schemes.push_back(made.scheme);
    results.cells.push_back(example_cell({made.scheme, 1, 64, 64}, made.total_ms, 12, stream++));
    results.cells.back().memory = {{"denoise", made.peak_bytes, {}}};
    for (int prompt = 0; prompt < 10; ++prompt) {
      const double scatter = 1 + 0.1 * (static_cast<double>(random() >> 11) * 0x1p-52 - 1);
      results.pictures.push_back(example_picture(made.scheme, prompt, 1, made.flip * scatter));
    }
  }
  return results;
}

void expect_choice(const Results& results, const Constraints& constraints,
                   const std::string& scheme,
                   const std::function<void(const Recommendation&)>& check = {}) {
  const Analysis analysis = analyse(results);
  const Recommendation recommendation = recommend(analysis, constraints);
  EXPECT_EQ(recommendation.scheme.value_or("none"), scheme) << recommendation.paragraph;
  for (const Candidate& candidate : recommendation.candidates)
    EXPECT_EQ(candidate.why_not.empty(), recommendation.scheme == candidate.scheme)
        << candidate.scheme << ": " << candidate.why_not;
  if (check) check(recommendation);
}

std::string why_not(const Recommendation& recommendation, const std::string& scheme) {
  for (const Candidate& candidate : recommendation.candidates)
    if (candidate.scheme == scheme) return candidate.why_not;
  return "no such scheme";
}

TEST(Recommend, ATrueTwoPercentIsFasterAndSaysSo) {
  expect_choice(run_of({{"bf16", 1000, 0}, {"int8dq", 980, 0.01}}), {}, "int8dq",
                [](const Recommendation& r) {
                  EXPECT_THAT(r.paragraph, HasSubstr("1.02 times as fast as bf16 (95 % interval"));
                  EXPECT_THAT(r.paragraph, HasSubstr("10 pictures"));
                  EXPECT_THAT(why_not(r, "bf16"), HasSubstr("Slower: 1.0"));
                });
}

TEST(Recommend, WithoutAnEffectBf16Stays) {
  expect_choice(run_of({{"bf16", 1000, 0}, {"int8dq", 999.9, 0.01}}), {}, "bf16",
                [](const Recommendation& r) {
                  EXPECT_THAT(why_not(r, "int8dq"), HasSubstr("not distinguishable"));
                  EXPECT_THAT(why_not(r, "int8dq"), HasSubstr("buys no time"));
                });
}

TEST(Recommend, OfEquallyFastSchemesTheCloserOneWins) {
  const Results results =
      run_of({{"bf16", 1000, 0}, {"fp8dqrow", 500, 0.02}, {"int8dq", 500.2, 0.01}});
  expect_choice(results, {}, "int8dq", [](const Recommendation& r) {
    EXPECT_THAT(why_not(r, "fp8dqrow"), HasSubstr("farther from bf16's, by 1.0"));
  });
}

TEST(Recommend, OfEquallyFastAndCloseSchemesTheSmallerOneWins) {
  const Results results = run_of({{"bf16", 1000, 0},
                                  {"fp8dqrow", 500, 0.01, 9'000'000'000},
                                  {"int8dq", 500, 0.01, 8'000'000'000}});
  expect_choice(results, {}, "int8dq", [](const Recommendation& r) {
    EXPECT_THAT(why_not(r, "fp8dqrow"), HasSubstr("more memory: 9.000 GB at its peak"));
  });
}

TEST(Recommend, QualityMustBeShownNotHoped) {
  // The mean is below the limit, the interval is not.
  Results results = run_of({{"bf16", 1000, 0}, {"int4wo", 400, 0.02}});
  results.pictures.back().flip = 0.2;
  expect_choice(results, {}, "bf16", [](const Recommendation& r) {
    EXPECT_THAT(why_not(r, "int4wo"), HasSubstr("not shown to stay within the limit of 5.0 %"));
    EXPECT_THAT(why_not(r, "int4wo"), HasSubstr("Faster: 0."));
  });
  expect_choice(results, {.max_quality_loss = 20}, "int4wo");
  expect_choice(run_of({{"bf16", 1000, 0}, {"int4wo", 400, 0.08}}), {}, "bf16",
                [](const Recommendation& r) {
                  EXPECT_THAT(why_not(r, "int4wo"), HasSubstr("above the limit of 5.0 %"));
                });
  // One picture shows nothing.
  results = run_of({{"bf16", 1000, 0}, {"int4wo", 400, 0.01}});
  results.pictures.resize(11);
  expect_choice(results, {}, "bf16");
}

TEST(Recommend, ABrokenPictureDisqualifiesUnlessBf16BreaksToo) {
  Results results = run_of({{"bf16", 1000, 0}, {"int8dq", 400, 0.01}});
  results.pictures[12].has_nan = true;
  expect_choice(results, {}, "bf16", [](const Recommendation& r) {
    EXPECT_THAT(why_not(r, "int8dq"), HasSubstr("1 of its 10 pictures is NaN, black or constant"));
  });
  results.pictures[2].constant = true;
  expect_choice(results, {}, "int8dq");
}

TEST(Recommend, MemoryLimitsAndTheMemoryObjective) {
  const Results results = run_of({{"bf16", 1000, 0, 30'000'000'000},
                                  {"int8dq", 500, 0.01, 20'000'000'000},
                                  {"int4wo", 1100, 0.02, 12'000'000'000}});
  expect_choice(results, {}, "int8dq");
  expect_choice(
      results, {.max_memory_bytes = 15'000'000'000}, "int4wo", [](const Recommendation& r) {
        EXPECT_THAT(why_not(r, "int8dq"), HasSubstr("20.00 GB at its peak, above the limit"));
      });
  expect_choice(results, {.objective = Objective::memory}, "int4wo", [](const Recommendation& r) {
    EXPECT_THAT(why_not(r, "int8dq"), HasSubstr("66.7 % more than int4wo"));
  });
  expect_choice(results, {.max_memory_bytes = 1'000'000}, "none", [](const Recommendation& r) {
    EXPECT_THAT(r.paragraph, HasSubstr("No scheme"));
    EXPECT_EQ(r.cell, nullptr);
  });
}

TEST(Recommend, ThroughputMayChooseTheBatch) {
  const Results results = example_results();
  expect_choice(results, {}, "int8dq",
                [](const Recommendation& r) { EXPECT_EQ(r.cell->cell->key.batch, 1); });
  expect_choice(results, {.objective = Objective::throughput}, "int8dq",
                [](const Recommendation& r) {
                  EXPECT_GT(r.cell->cell->key.batch, 1);
                  EXPECT_THAT(r.paragraph, HasSubstr(" each"));
                });
  expect_choice(results, {.batch = 4, .objective = Objective::throughput}, "int8dq",
                [](const Recommendation& r) { EXPECT_EQ(r.cell->cell->key.batch, 4); });
  expect_choice(results, {.batch = 16}, "int8dq", [](const Recommendation& r) {
    EXPECT_THAT(why_not(r, "int4wo"), HasSubstr("Its run failed (out_of_memory_device): decode"));
    EXPECT_THAT(why_not(r, "sparse24-int8dq"), HasSubstr("1 of its 8 pictures is NaN"));
  });
}

TEST(Recommend, SyntheticWeightsLeaveQualityOpen) {
  Results results = run_of({{"bf16", 1000, 0}, {"int4wo", 400, 0.3}});
  results.environment.synthetic = true;
  expect_choice(results, {}, "int4wo", [](const Recommendation& r) {
    EXPECT_THAT(r.paragraph, HasSubstr("not applicable"));
    ASSERT_FALSE(r.caveats.empty());
    EXPECT_THAT(r.caveats[0], HasSubstr("real weights"));
  });
}

TEST(Recommend, ARunWithoutItsBaselineStillCompares) {
  Results results = run_of({{"bf16", 1000, 0}, {"int8dq", 500, 0.01}, {"fp8dqrow", 550, 0.01}});
  results.cells[0].status = CellStatus::failed;
  results.cells[0].failure = "the child crashed";
  results.cells[0].failure_code = "crashed";
  expect_choice(results, {}, "int8dq", [](const Recommendation& r) {
    EXPECT_THAT(r.paragraph, HasSubstr("no bf16 time to compare with"));
    EXPECT_THAT(why_not(r, "fp8dqrow"), HasSubstr("Slower: 1.1"));
    EXPECT_THAT(why_not(r, "bf16"), HasSubstr("crashed"));
  });
}

TEST(Recommend, AnUnfinishedRunSaysWhatIsMissing) {
  Results results = run_of({{"bf16", 1000, 0}, {"int8dq", 500, 0.01}});
  results.cells[1].status = CellStatus::pending;
  expect_choice(results, {}, "bf16", [](const Recommendation& r) {
    EXPECT_THAT(why_not(r, "int8dq"), HasSubstr("not measured yet"));
    EXPECT_THAT(r.caveats.at(0), HasSubstr("incomplete: 1 of 2 cells"));
  });
  results.cells.clear();
  const Analysis empty = analyse(results);
  EXPECT_FLUXQ_ERROR(recommend(empty, {}), bad_argument, "expected a run with cells");
}

TEST(Recommend, OneSchemeOnly) {
  expect_choice(run_of({{"bf16", 1000, 0}}), {}, "bf16");
  Results results = run_of({{"int8dq", 1000, 0.01}});
  expect_choice(results, {}, "int8dq");
}

TEST(Recommend, BadConstraintsAreRefused) {
  const Results results = example_results();
  const Analysis analysis = analyse(results);
  EXPECT_FLUXQ_ERROR(recommend(analysis, {.batch = 3}), bad_argument, "1, 4, 8, 16, got 3");
  EXPECT_FLUXQ_ERROR(recommend(analysis, {.max_quality_loss = -1}), bad_argument, "got -1");
  EXPECT_FLUXQ_ERROR(recommend(analysis, {.max_quality_loss = std::nan("")}), bad_argument, "nan");
  EXPECT_FLUXQ_ERROR(recommend(analysis, {.max_memory_bytes = 0}), bad_argument, "got 0");
  EXPECT_FLUXQ_ERROR(parse_objective("speed"), bad_argument, "latency, throughput or memory");
  EXPECT_EQ(parse_objective("memory"), Objective::memory);
}

TEST(Recommend, TheJsonNamesSchemeReasonsAndIntervals) {
  const Results results = example_results();
  const Analysis analysis = analyse(results);
  const Json json = to_json(recommend(analysis, {}), analysis);
  EXPECT_EQ(json["scheme"], "int8dq");
  EXPECT_EQ(json["constraints"]["max_quality_loss_percent"], 5);
  ASSERT_EQ(json["candidates"].size(), 5U);
  for (const Json& candidate : json["candidates"]) {
    EXPECT_EQ(candidate["why_not"].is_null(), candidate["recommended"].get<bool>());
    EXPECT_EQ(candidate.contains("speedup"), candidate["scheme"] != "bf16");
    if (candidate.contains("speedup")) {
      EXPECT_EQ(candidate["speedup"]["interval"].size(), 2U);
    }
  }
}

}  // namespace
}  // namespace fluxq::report
