#include "pipeline/guarantee.h"

#include <gtest/gtest.h>

namespace tidemill::pipeline {
namespace {

GuaranteeFacts strong() {
  GuaranteeFacts facts;
  facts.source.system = "embedded log";
  facts.sink.store = "DuckDB table t";
  facts.stateful = true;
  return facts;
}

TEST(Guarantee, TransactionsAndReplayGiveExactlyOnce) {
  auto report = compute_guarantee(strong());
  EXPECT_EQ(report.guarantee, Guarantee::kExactlyOnce);
  EXPECT_TRUE(report.limits.empty());
}

TEST(Guarantee, TheWeakestPartDecidesAndIsNamed) {
  GuaranteeFacts keyed = strong();
  keyed.sink.capability = Capability::kIdempotent;
  EXPECT_EQ(compute_guarantee(keyed).guarantee, Guarantee::kEffectivelyOnce);

  GuaranteeFacts plain = strong();
  plain.sink.capability = Capability::kAtLeastOnce;
  plain.sink.store = "null";
  auto report = compute_guarantee(plain);
  EXPECT_EQ(report.guarantee, Guarantee::kAtLeastOnce);
  EXPECT_NE(report.reasons[0].find("null"), std::string::npos);

  plain.source.replayable = false;
  EXPECT_EQ(compute_guarantee(plain).guarantee, Guarantee::kAtMostOnce);
}

TEST(Guarantee, WeakDurabilityIsSaid) {
  GuaranteeFacts facts = strong();
  facts.source.weakness = "log durability none: a power cut may lose acknowledged events";
  auto report = compute_guarantee(facts);
  ASSERT_EQ(report.limits.size(), 1u);
}

}  // namespace
}  // namespace tidemill::pipeline
