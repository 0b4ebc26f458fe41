// Constructed data with known answers. The random trials are seeded: they pass or fail for good.
#include "metrics/statistics.h"

#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "base/test_support.h"

namespace fluxq {
namespace {

using Samples = std::vector<double>;

// Draws that do not depend on the standard library's distributions.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  double uniform() { return (static_cast<double>(engine_() >> 11) + 0.5) * 0x1p-53; }
  double normal() {
    return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::acos(-1.0) * uniform());
  }
  double cauchy() { return std::tan(std::acos(-1.0) * (uniform() - 0.5)); }

 private:
  std::mt19937_64 engine_;
};

// Times of prompts that differ by a factor of two among themselves.
Samples prompt_times(Random& random, int count) {
  Samples times(count);
  for (double& time : times) time = 1.5 * std::exp2(random.uniform());
  return times;
}

constexpr int kTrials = 200;
constexpr BootstrapOptions kQuick = {.resamples = 500, .seed = 1};

// How many of kTrials comparisons of `pairs` pairs end in `verdict`.
int count_verdicts(Verdict verdict, int pairs, Scale scale, Center center,
                   const std::function<double(Random&, double baseline)>& candidate) {
  int count = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    Random random(1000 + trial);
    const Samples baseline = prompt_times(random, pairs);
    Samples values;
    for (const double time : baseline) values.push_back(candidate(random, time));
    count +=
        compare_paired(values, baseline, scale, center, Goal::lower, kQuick).verdict == verdict;
  }
  return count;
}

TEST(Statistics, SummariesOfKnownSamples) {
  const Samples values = {3, 1, 4, 1, 5, 9, 2, 6};
  EXPECT_DOUBLE_EQ(mean(values), 31.0 / 8);
  EXPECT_DOUBLE_EQ(median(values), 3.5);
  EXPECT_DOUBLE_EQ(median(std::span(values).first(7)), 3);
  EXPECT_DOUBLE_EQ(quantile(values, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 9);
  EXPECT_DOUBLE_EQ(quantile(values, 0.9), 6.9);  // numpy.quantile
  EXPECT_DOUBLE_EQ(interquartile_range(values).lo, 1.75);
  EXPECT_DOUBLE_EQ(interquartile_range(values).hi, 5.25);
  const Samples one = {7};
  EXPECT_EQ(mean(one), 7);
  EXPECT_EQ(median(one), 7);
  EXPECT_EQ(quantile(one, 0.3), 7);
}

TEST(Statistics, TheIntervalOfManyNormalSamplesIsStudents) {
  Random random(5);
  Samples values(100);
  for (double& value : values) value = 10 + random.normal();
  double square = 0;
  for (const double value : values) square += (value - mean(values)) * (value - mean(values));
  const double reach = 1.9842169515 * std::sqrt(square / 99 / 100);  // t(0.975, 99)
  const Interval interval = *bootstrap_interval(values, Center::mean);
  EXPECT_NEAR(interval.lo, mean(values) - reach, 0.04 * reach);
  EXPECT_NEAR(interval.hi, mean(values) + reach, 0.04 * reach);
}

TEST(Statistics, IntervalsHoldTheTruthAsOftenAsTheySay) {
  for (const Center center : {Center::mean, Center::median})
    for (const int n : {3, 5, 16}) {
      int held = 0;
      for (int trial = 0; trial < kTrials; ++trial) {
        Random random(trial);
        Samples values(n);
        for (double& value : values) value = random.normal();
        const Interval interval = *bootstrap_interval(values, center, kQuick);
        held += interval.lo <= 0 && 0 <= interval.hi;
      }
      EXPECT_GE(held, 0.93 * kTrials) << n;
      EXPECT_LT(held, kTrials) << n;  // an interval that always holds says nothing
    }
}

TEST(Statistics, ATrueEffectOfTwoPercentIsFound) {
  const auto faster = [](Random& random, double time) {
    return 0.98 * time * (1 + 0.01 * random.normal());
  };
  for (const Center center : {Center::mean, Center::median}) {
    EXPECT_GE(count_verdicts(Verdict::better, 16, Scale::ratio, center, faster), 0.98 * kTrials);
    EXPECT_EQ(count_verdicts(Verdict::worse, 16, Scale::ratio, center, faster), 0);
  }
  EXPECT_GE(count_verdicts(Verdict::better, 16, Scale::difference, Center::mean, faster),
            0.98 * kTrials);
  Random random(1);
  const Samples baseline = prompt_times(random, 16);
  Samples values;
  for (const double time : baseline) values.push_back(faster(random, time));
  const Comparison found =
      compare_paired(values, baseline, Scale::ratio, Center::median, Goal::lower);
  EXPECT_EQ(found.pairs, 16);
  EXPECT_NEAR(*found.effect, 0.98, 0.005);
  EXPECT_LT(found.interval->lo, 0.98);
  EXPECT_GT(found.interval->hi, 0.98);
  EXPECT_LT(found.interval->hi, 1);
}

TEST(Statistics, NoEffectIsNotDistinguishable) {
  const auto same = [](Random& random, double time) {
    return time * std::exp(0.02 * random.normal());
  };
  for (const Center center : {Center::mean, Center::median})
    for (const Scale scale : {Scale::ratio, Scale::difference})
      for (const int pairs : {3, 8, 16})
        EXPECT_GE(count_verdicts(Verdict::not_distinguishable, pairs, scale, center, same),
                  0.93 * kTrials)
            << pairs;
}

TEST(Statistics, HeavyTailsGiveNoFalseClaims) {
  const auto wild = [](Random& random, double time) { return time + random.cauchy(); };
  const auto spikes = [](Random& random, double time) {
    return time * (1 + 0.01 * random.normal()) +
           (random.uniform() < 0.1 ? 20 * random.normal() : 0);
  };
  for (const Center center : {Center::mean, Center::median})
    for (const int pairs : {8, 16, 40})
      for (const auto& candidate : {std::function<double(Random&, double)>(wild), {spikes}})
        EXPECT_GE(count_verdicts(Verdict::not_distinguishable, pairs, Scale::difference, center,
                                 candidate),
                  0.93 * kTrials)
            << pairs;
}

TEST(Statistics, MediansFindAnEffectUnderOutliers) {
  const auto disturbed = [](Random& random, double time) {
    return 0.98 * time * (1 + 0.01 * random.normal()) * (random.uniform() < 0.1 ? 10 : 1);
  };
  EXPECT_GE(count_verdicts(Verdict::better, 24, Scale::ratio, Center::median, disturbed),
            0.95 * kTrials);
}

TEST(Statistics, ARatioOfMediansIsWhatAReaderWouldDivide) {
  const Samples candidate = {2, 3, 50}, baseline = {6, 9, 1};
  const Comparison result = compare_medians(candidate, baseline, Goal::lower);
  EXPECT_EQ(result.pairs, 3);
  EXPECT_DOUBLE_EQ(*result.effect, 0.5);
  EXPECT_EQ(result.verdict, Verdict::not_distinguishable);
  EXPECT_FALSE(compare_medians({}, {}, Goal::lower).effect.has_value());
  EXPECT_FALSE(compare_medians(Samples{1}, Samples{2}, Goal::lower).interval.has_value());
  EXPECT_FLUXQ_ERROR(compare_medians(Samples{1, 2}, Samples{2}, Goal::lower), bad_argument,
                     "2 and 1");
  EXPECT_FLUXQ_ERROR(compare_medians(Samples{0}, Samples{2}, Goal::lower), bad_argument,
                     "positive");
}

TEST(Statistics, RatiosOfMediansFindAnEffectAndNoneWhereThereIsNone) {
  for (const int pairs : {3, 5, 10, 16}) {
    int false_claims = 0, found = 0, held = 0;
    for (int trial = 0; trial < kTrials; ++trial) {
      Random random(trial);
      Samples baseline(pairs), same(pairs), faster(pairs);
      const auto time = [&] { return 3 * std::exp(0.01 * random.normal()); };
      for (int i = 0; i < pairs; ++i) {
        baseline[i] = time();
        same[i] = time();
        faster[i] = 0.9 * time();
      }
      false_claims += compare_medians(same, baseline, Goal::lower, kQuick).verdict !=
                      Verdict::not_distinguishable;
      const Comparison effect = compare_medians(faster, baseline, Goal::lower, kQuick);
      found += effect.verdict == Verdict::better;
      held += effect.interval->lo <= 0.9 && 0.9 <= effect.interval->hi;
    }
    EXPECT_LE(false_claims, 0.07 * kTrials) << pairs;
    EXPECT_GE(held, 0.93 * kTrials) << pairs;
    EXPECT_GE(found, pairs > 3 ? 0.98 * kTrials : 0) << pairs;
  }
}

TEST(Statistics, TheGoalDecidesWhatIsBetter) {
  const Samples low = {1.0, 1.1, 1.2, 1.3}, high = {2.0, 2.1, 2.2, 2.3};
  const auto verdict = [&](const Samples& a, const Samples& b, Goal goal) {
    return to_string(compare_paired(a, b, Scale::difference, Center::mean, goal).verdict);
  };
  EXPECT_EQ(verdict(low, high, Goal::lower), "better");
  EXPECT_EQ(verdict(low, high, Goal::higher), "worse");
  EXPECT_EQ(verdict(high, low, Goal::lower), "worse");
  EXPECT_EQ(verdict(high, low, Goal::higher), "better");
  EXPECT_EQ(verdict(low, low, Goal::lower), "not distinguishable");
}

TEST(Statistics, FewSamplesGiveNoInterval) {
  const auto compare = [](const Samples& a, const Samples& b) {
    return compare_paired(a, b, Scale::ratio, Center::mean, Goal::lower);
  };
  EXPECT_FALSE(bootstrap_interval({}, Center::mean));
  EXPECT_FALSE(bootstrap_interval(Samples{1}, Center::median));
  EXPECT_FALSE(compare({}, {}).effect);
  EXPECT_FALSE(compare({}, {}).interval);
  EXPECT_DOUBLE_EQ(*compare({1}, {2}).effect, 0.5);
  EXPECT_FALSE(compare({1}, {2}).interval);
  EXPECT_EQ(compare({1}, {2}).verdict, Verdict::not_distinguishable);
  // Two that point the same way by chance half the time.
  EXPECT_EQ(compare({1.0, 1.2}, {1.1, 1.5}).verdict, Verdict::not_distinguishable);
}

TEST(Statistics, TheSameSamplesGiveTheSameInterval) {
  Random random(3);
  Samples values(20);
  for (double& value : values) value = random.normal();
  const Interval first = *bootstrap_interval(values, Center::mean);
  const Interval again = *bootstrap_interval(values, Center::mean);
  const Interval other = *bootstrap_interval(values, Center::mean, {.seed = 2});
  EXPECT_EQ(first.lo, again.lo);
  EXPECT_EQ(first.hi, again.hi);
  EXPECT_NE(first.lo, other.lo);
  EXPECT_NEAR(first.lo, other.lo, 0.05);
}

TEST(Statistics, WhatIsNoSampleIsRefused) {
  const Samples good = {1, 2};
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double bad : {std::nan(""), kInfinity, -kInfinity}) {
    const Samples broken = {1, bad};
    EXPECT_FLUXQ_ERROR(mean(broken), numeric, "index 1");
    EXPECT_FLUXQ_ERROR(median(broken), numeric, "index 1");
    EXPECT_FLUXQ_ERROR(interquartile_range(broken), numeric, "index 1");
    EXPECT_FLUXQ_ERROR(bootstrap_interval(broken, Center::mean), numeric, "index 1");
    for (const Scale scale : {Scale::ratio, Scale::difference}) {
      EXPECT_FLUXQ_ERROR(compare_paired(broken, good, scale, Center::mean, Goal::lower), numeric,
                         "candidate");
      EXPECT_FLUXQ_ERROR(compare_paired(good, broken, scale, Center::mean, Goal::lower), numeric,
                         "baseline");
    }
  }
  EXPECT_FLUXQ_ERROR(mean({}), bad_argument, "none");
  EXPECT_FLUXQ_ERROR(median({}), bad_argument, "none");
  EXPECT_FLUXQ_ERROR(quantile(good, 1.5), bad_argument, "1.5");
  EXPECT_FLUXQ_ERROR(quantile(good, std::nan("")), bad_argument, "nan");
  const Samples three = {1, 2, 3}, zero = {0, 1};
  EXPECT_FLUXQ_ERROR(compare_paired(good, three, Scale::difference, Center::mean, Goal::lower),
                     bad_argument, "2 and 3");
  EXPECT_FLUXQ_ERROR(compare_paired(zero, good, Scale::ratio, Center::mean, Goal::lower),
                     bad_argument, "positive");
}

}  // namespace
}  // namespace fluxq
