#include "observe/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace tidemill::observe {
namespace {

TEST(Histogram, IsEmptyAtFirst) {
  Histogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), 0);
  EXPECT_EQ(histogram.count(), 0u);
}

TEST(Histogram, IsExactForSmallValues) {
  Histogram histogram;
  for (int64_t v = 0; v < 256; ++v) histogram.record(v);
  EXPECT_EQ(histogram.quantile(0.5), 127);
  EXPECT_EQ(histogram.quantile(1.0), 255);
}

TEST(Histogram, StaysWithinItsErrorAgainstSortedValues) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> spread(9, 3);
  Histogram histogram;
  std::vector<int64_t> values;
  for (int i = 0; i < 200'000; ++i) {
    auto value = static_cast<int64_t>(std::min(spread(random), 1e11));
    values.push_back(value);
    histogram.record(value);
  }
  std::sort(values.begin(), values.end());
  for (double q : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    auto index = static_cast<size_t>(std::max(0.0, q * 200'000 - 1));
    auto exact = static_cast<double>(values[index]);
    EXPECT_NEAR(static_cast<double>(histogram.quantile(q)), exact, exact * 0.009 + 1) << q;
  }
}

// As of devices whose clocks were never set.
TEST(Histogram, TheSumOfManyLongLatenciesDoesNotOverflow) {
  constexpr int64_t kFiftyYears = int64_t{50} * 365 * 86'400 * 1'000'000;
  Histogram histogram, twice;
  histogram.record(kFiftyYears, 10'000);
  EXPECT_NEAR(histogram.sum(), 1.5768e19, 1e9);
  twice.merge(histogram);
  twice.merge(histogram);
  EXPECT_NEAR(twice.since(histogram).sum(), 1.5768e19, 1e9);
}

TEST(Histogram, TakesAnyValue) {
  Histogram histogram;
  histogram.record(INT64_MIN);
  histogram.record(int64_t{1} << 50);
  EXPECT_EQ(histogram.count(), 2u);
  EXPECT_EQ(histogram.quantile(0.5), 0);
  EXPECT_EQ(histogram.max(), int64_t{1} << 50);
}

TEST(Histogram, MergesToTheSameAsOne) {
  Histogram a, b, both;
  for (int64_t v = 1; v < 100'000; v += 7) {
    (v % 2 == 0 ? a : b).record(v);
    both.record(v);
  }
  a.merge(b);
  for (double q : {0.1, 0.5, 0.99}) EXPECT_EQ(a.quantile(q), both.quantile(q));
}

TEST(Histogram, CountsWhatDoesNotExceedABound) {
  Histogram histogram;
  for (int64_t v : {0, 7, 1'000, 1'000, 2'000'000}) histogram.record(v);
  EXPECT_EQ(histogram.count_at_most(0), 1u);
  EXPECT_EQ(histogram.count_at_most(10), 2u);
  EXPECT_EQ(histogram.count_at_most(1'000), 4u);
  EXPECT_EQ(histogram.count_at_most(1'900'000), 4u);
  EXPECT_EQ(histogram.count_at_most(int64_t{1} << 50), 5u);
}

TEST(Histogram, TellsWhatCameSince) {
  Histogram histogram;
  for (int i = 0; i < 100; ++i) histogram.record(1'000'000);
  Histogram earlier = histogram;
  for (int i = 0; i < 10; ++i) histogram.record(50);
  Histogram later = histogram.since(earlier);
  EXPECT_EQ(later.count(), 10u);
  EXPECT_EQ(later.quantile(1), 50);
  EXPECT_EQ(later.max(), 50);
}

}  // namespace
}  // namespace tidemill::observe
