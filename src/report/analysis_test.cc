#include "report/analysis.h"

#include <cmath>
#include <limits>

#include "base/test_support.h"
#include "bench/results_json.h"
#include "report/json.h"
#include "report/testing.h"

namespace fluxq::report {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Results two_cells(std::vector<double> baseline_ms, std::vector<double> scheme_ms) {
  Results results;
  results.plan.schemes = {"bf16", "int8dq"};
  results.plan.batches = {2};
  results.plan.sizes = {{64, 64}};
  for (const std::string& scheme : results.plan.schemes)
    results.cells.push_back(example_cell({scheme, 2, 64, 64}, 100));
  results.cells[0].total_ms = std::move(baseline_ms);
  results.cells[1].total_ms = std::move(scheme_ms);
  return results;
}

TEST(Analysis, FiguresOfACellAreThoseOfItsSamples) {
  Results results = two_cells({4000, 4100, 3900, 4000, 4000}, {2000, 1950, 2050, 2000, 2000});
  results.environment.ceiling_flops = {{"bf16", 100e12}, {"s8", 50e12}};
  results.environment.ceiling_bytes = 1e12;
  results.cells[1].flops = 40e12;
  results.cells[1].weight_bytes_read = 0.5e12;
  const Analysis analysis = analyse(results);
  const CellSummary& cell = analysis.cells[1];
  EXPECT_EQ(cell.total->count, 5);
  EXPECT_DOUBLE_EQ(cell.total->median, 2000);
  EXPECT_DOUBLE_EQ(cell.total->middle.lo, 2000);
  EXPECT_DOUBLE_EQ(*cell.per_picture_ms, 1000);
  EXPECT_DOUBLE_EQ(*cell.pictures_per_second, 1);
  EXPECT_DOUBLE_EQ(*cell.time_ratio->effect, 0.5);
  EXPECT_EQ(cell.time_ratio->verdict, Verdict::better);
  EXPECT_DOUBLE_EQ(speedup(*cell.time_ratio).value, 2);
  EXPECT_DOUBLE_EQ(latency_reduction(*cell.time_ratio).value, 50);
  // The intervals of all three are the same statement.
  const Interval ratio = *cell.time_ratio->interval, factor = *speedup(*cell.time_ratio).interval,
                 saved = *latency_reduction(*cell.time_ratio).interval;
  EXPECT_LT(factor.lo, factor.hi);
  EXPECT_LT(saved.lo, saved.hi);
  EXPECT_DOUBLE_EQ(factor.hi * ratio.lo, 1);
  EXPECT_DOUBLE_EQ(saved.lo, 100 * (1 - ratio.hi));
  EXPECT_DOUBLE_EQ(cell.flops->value, 20e12);
  EXPECT_DOUBLE_EQ(*cell.flops->share, 0.4);  // of the s8 ceiling
  EXPECT_EQ(cell.flops->ceiling, "s8");
  EXPECT_DOUBLE_EQ(*cell.bandwidth->share, 0.25);
  EXPECT_FALSE(analysis.cells[0].time_ratio.has_value());
}

TEST(Analysis, ACeilingThatTheDeviceLacksIsThatOfTheArithmeticUsedInstead) {
  Results results = two_cells({4000}, {2000});
  results.environment.ceiling_flops = {{"bf16", 100e12}};
  results.cells[1].flops = 40e12;
  EXPECT_EQ(analyse(results).cells[1].flops->ceiling, "bf16");
  results.environment.ceiling_flops.clear();
  EXPECT_FALSE(analyse(results).cells[1].flops->share.has_value());
}

TEST(Analysis, ASparseProductHasItsOwnCeilingOrTheDenseOne) {
  Results results = two_cells({4000}, {2000});
  results.environment.ceiling_flops = {{"bf16", 100e12}, {"s8", 40e12}};
  results.cells[1].key.scheme = "sparse24-int8dq";
  results.cells[1].flops = 40e12;
  EXPECT_EQ(analyse(results).cells[1].flops->ceiling, "s8");
  results.environment.ceiling_flops["s8 2:4"] = 80e12;
  const CellSummary cell = analyse(results).cells[1];
  EXPECT_EQ(cell.flops->ceiling, "s8 2:4");
  EXPECT_DOUBLE_EQ(cell.flops->share.value(), 0.25);
}

TEST(Analysis, WithoutABaselineNothingIsRelativeToIt) {
  Results results = two_cells({4000, 4000}, {2000, 2000});
  for (Cell& cell : results.cells) cell.memory = {{"decode", 1'000'000, {}}};
  results.cells[0].status = CellStatus::failed;
  EXPECT_FALSE(analyse(results).cells[1].time_ratio.has_value());
  EXPECT_FALSE(analyse(results).cells[0].total.has_value());
  results.cells.erase(results.cells.begin());
  const Analysis analysis = analyse(results);
  EXPECT_FALSE(analysis.cells[0].time_ratio.has_value());
  ASSERT_TRUE(analysis.cells[0].memory.has_value());
  EXPECT_FALSE(analysis.cells[0].memory->saved_percent.has_value());
  EXPECT_DOUBLE_EQ(analysis.cells[0].total->median, 2000);
}

TEST(Analysis, SamplesThatAreNoTimesAreLeftOut) {
  const Results results = two_cells({4000, 4000, 0, 4000}, {2000, std::nan(""), 2000, 2000});
  const Analysis analysis = analyse(results);
  EXPECT_EQ(analysis.cells[1].total->count, 3);
  EXPECT_EQ(analysis.cells[1].time_ratio->pairs, 2);
  Results none = two_cells({4000}, {});
  EXPECT_FALSE(analyse(none).cells[1].total.has_value());
  EXPECT_FALSE(analyse(none).cells[1].time_ratio.has_value());
}

TEST(Analysis, OneRepeatHasNoIntervalAndNoVerdict) {
  const Results results = two_cells({4000}, {2000});
  const Comparison ratio = *analyse(results).cells[1].time_ratio;
  EXPECT_DOUBLE_EQ(*ratio.effect, 0.5);
  EXPECT_FALSE(ratio.interval.has_value());
  EXPECT_EQ(ratio.verdict, Verdict::not_distinguishable);
  EXPECT_FALSE(speedup(ratio).interval.has_value());
}

TEST(Analysis, PeaksAreThoseOfTheDeviceWhereThereIsOne) {
  const Results results = example_results();
  const Analysis analysis = analyse(results);
  const MemoryUse& memory = *analysis.find({"int8dq", 1, 1024, 1024})->memory;
  EXPECT_TRUE(memory.on_device);
  EXPECT_EQ(memory.peak_bytes, 15'190'851'584 + 9'800'000'000 + 1'050'000'000);
  EXPECT_EQ(memory.host_peak_bytes, 3'100'000'000);
  EXPECT_NEAR(*memory.saved_percent, 100 * (1 - 26.040851584 / 34.652816512), 1e-9);
  Results host = results;
  for (Cell& cell : host.cells)
    for (PhaseMemory& phase : cell.memory) phase.device_peak_bytes.reset();
  const MemoryUse on_host = *analyse(host).cells[0].memory;
  EXPECT_FALSE(on_host.on_device);
  EXPECT_EQ(on_host.peak_bytes, 3'100'000'000);
  EXPECT_EQ(on_host.serving_bytes, 2'900'000'000);
}

TEST(Quality, FlaggedPicturesAreCountedAndKeptOutOfMeans) {
  Results results;
  results.plan.schemes = {"bf16", "int4wo"};
  for (int prompt = 0; prompt < 4; ++prompt) {
    results.pictures.push_back(example_picture("bf16", prompt, 1, 0));
    results.pictures.push_back(example_picture("int4wo", prompt, 1, 0.02 * (prompt + 1)));
  }
  results.pictures[1].black = results.pictures[1].constant = true;
  results.pictures[3].has_nan = true;
  results.pictures[2].constant = true;  // bf16's own picture of that prompt
  const Analysis analysis = analyse(results);
  ASSERT_EQ(analysis.quality.size(), 1U);
  const SchemeQuality& quality = analysis.quality[0];
  EXPECT_EQ(quality.pictures, 4);
  EXPECT_EQ(quality.flagged, 2);
  EXPECT_EQ(quality.newly_flagged, 1);
  EXPECT_EQ(quality.has_nan, 1);
  EXPECT_EQ(quality.black, 1);
  EXPECT_EQ(quality.flip->count, 2);
  EXPECT_DOUBLE_EQ(quality.flip->value, 0.07);
  EXPECT_DOUBLE_EQ(quality.loss_percent->value, 7);
  EXPECT_DOUBLE_EQ(quality.drift.at(3).value, 0.8 * 0.07 * 4);
}

TEST(Quality, IdenticalPicturesHaveNoPsnrButCount) {
  Results results;
  results.plan.schemes = {"bf16", "int8dq"};
  for (int prompt = 0; prompt < 3; ++prompt)
    results.pictures.push_back(example_picture("int8dq", prompt, 1, prompt == 0 ? 0 : 0.01));
  ASSERT_EQ(results.pictures[0].psnr_db, kInfinity);
  Analysis analysis = analyse(results);
  EXPECT_EQ(analysis.quality[0].identical, 1);
  EXPECT_EQ(analysis.quality[0].psnr_db->count, 2);
  EXPECT_TRUE(std::isfinite(analysis.quality[0].psnr_db->value));
  EXPECT_DOUBLE_EQ(analysis.quality[0].flip->value, 0.02 / 3);
  const Json json = results_json(analysis);
  EXPECT_EQ(json["pictures"][0]["psnr_db"], "identical");
  EXPECT_TRUE(json["pictures"][1]["psnr_db"].is_number());
  for (PictureResult& picture : results.pictures) picture.psnr_db = kInfinity, picture.flip = 0;
  analysis = analyse(results);
  EXPECT_FALSE(analysis.quality[0].psnr_db.has_value());
  EXPECT_DOUBLE_EQ(analysis.quality[0].loss_percent->value, 0);
}

TEST(Quality, SyntheticWeightsHaveNone) {
  Results results = example_results();
  results.environment.synthetic = true;
  const Analysis analysis = analyse(results);
  EXPECT_EQ(analysis.quality_state, QualityState::not_applicable);
  EXPECT_TRUE(analysis.quality.empty());
  EXPECT_EQ(results_json(analysis)["quality"]["state"], "not applicable");
  results.environment.synthetic = false;
  results.pictures.clear();
  EXPECT_EQ(analyse(results).quality_state, QualityState::not_measured);
}

TEST(Quality, TheNoiseFloorStandsBesideEachScheme) {
  const Results results = example_results();
  const Analysis analysis = analyse(results);
  ASSERT_TRUE(analysis.noise_floor.has_value());
  EXPECT_NEAR(analysis.noise_floor->loss_percent->value, 0.58, 0.1);
  EXPECT_NEAR(analysis.seed_change->loss_percent->value, 42, 5);
  for (const SchemeQuality& quality : analysis.quality) EXPECT_NE(quality.scheme, "f32");
  EXPECT_EQ(analysis.find_quality("sparse24-int8dq")->above_floor->verdict, Verdict::worse);
  EXPECT_EQ(analysis.find_quality("sparse24-int8dq")->flagged, 1);
  Results none = results;
  none.noise_floor = NoiseFloor::none;
  EXPECT_FALSE(analyse(none).noise_floor.has_value());
  EXPECT_FALSE(analyse(none).quality[0].above_floor.has_value());
}

TEST(Quality, SchemesAreComparedPictureByPicture) {
  Results results;
  results.plan.schemes = {"bf16", "a", "b"};
  for (int prompt = 0; prompt < 12; ++prompt) {
    const double hard = 0.01 * (1 + prompt);  // prompts differ far more than schemes
    results.pictures.push_back(example_picture("a", prompt, 1, hard));
    results.pictures.push_back(
        example_picture("b", prompt, 1, hard + 0.001 * (1 + 0.2 * (prompt % 3))));
  }
  const Comparison comparison = compare_quality(results, "b", "a");
  EXPECT_EQ(comparison.pairs, 12);
  EXPECT_NEAR(*comparison.effect, 0.0012, 1e-12);
  EXPECT_EQ(comparison.verdict, Verdict::worse);
  EXPECT_EQ(compare_quality(results, "a", "b").verdict, Verdict::better);
  EXPECT_EQ(compare_quality(results, "a", "nothing").pairs, 0);
}

TEST(ResultsJson, HoldsEverySampleAndSurvivesBadText) {
  Results results = example_results();
  results.cells[0].notes = {"bad \xff byte"};
  results.cells[1].total_ms[0] = std::nan("");
  const Json json = parse_json(dump(results_json(analyse(results))), "results.json");
  ASSERT_EQ(json["cells"].size(), results.cells.size());
  const Json& cell = json["cells"][1];
  EXPECT_EQ(cell["scheme"], "bf16");
  EXPECT_EQ(cell["samples"]["step_ms"].size(), results.cells[1].step_ms.size());
  EXPECT_TRUE(cell["samples"]["total_ms"][0].is_null());
  EXPECT_EQ(cell["total_ms"]["count"], results.cells[1].total_ms.size() - 1);
  EXPECT_EQ(json["cells"][15]["status"], "failed");
  EXPECT_TRUE(json["cells"][15]["total_ms"].is_null());
  EXPECT_EQ(json["plan"], to_json(results.plan));
}

}  // namespace
}  // namespace fluxq::report
