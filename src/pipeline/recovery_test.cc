#include "pipeline/recovery.h"

#include <gtest/gtest.h>

namespace tidemill::pipeline {
namespace {

ChangelogFact fact(int64_t epoch, int32_t incarnation, int64_t at) {
  return {Epoch(epoch), Incarnation(incarnation), at};
}

RecoveryFacts facts_at(int64_t epoch, int32_t incarnation) {
  RecoveryFacts facts;
  facts.source = {"in", Partition(0)};
  facts.stateful = true;
  facts.sink.position = Position{Offset(epoch * 10), LeaderEpoch(0)};
  facts.sink.epoch = Epoch(epoch);
  facts.sink.incarnation = Incarnation(incarnation);
  return facts;
}

std::vector<int64_t> places(const RecoveryPlan& plan) {
  std::vector<int64_t> at;
  for (const ChangelogFact& frame : plan.frames) at.push_back(frame.at);
  return at;
}

TEST(Recovery, BeginsAfreshWhereNothingWasCommitted) {
  RecoveryFacts facts = facts_at(0, 0);
  facts.sink.position.reset();
  facts.frames = {fact(1, 1, 0)};  // its sink commit never happened
  auto plan = plan_recovery(facts);
  ASSERT_TRUE(plan.ok());
  EXPECT_FALSE(plan->resume.has_value());
  EXPECT_TRUE(plan->frames.empty());
}

TEST(Recovery, AppliesFramesUpToTheOneTheSinkNames) {
  RecoveryFacts facts = facts_at(2, 1);
  facts.frames = {fact(1, 1, 0), fact(2, 1, 1), fact(3, 1, 2)};
  auto plan = plan_recovery(facts);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(places(*plan), (std::vector<int64_t>{0, 1}));
}

TEST(Recovery, AFrameThatWasNeverCommittedIsDeadOnceALaterOwnerWrites) {
  RecoveryFacts facts = facts_at(4, 2);
  // Owner 1 wrote frames 3 and 4 and died before the sink had 3.
  facts.frames = {fact(1, 1, 0), fact(2, 1, 1), fact(3, 1, 2), fact(4, 1, 3), fact(3, 2, 4), fact(4, 2, 5)};
  auto plan = plan_recovery(facts);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(places(*plan), (std::vector<int64_t>{0, 1, 4, 5}));
}

TEST(Recovery, AFencedOwnersLateFrameIsIgnored) {
  RecoveryFacts facts = facts_at(3, 2);
  facts.frames = {fact(1, 1, 0), fact(2, 1, 1), fact(3, 2, 2), fact(3, 1, 3), fact(4, 1, 4)};
  auto plan = plan_recovery(facts);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(places(*plan), (std::vector<int64_t>{0, 1, 2}));
}

TEST(Recovery, AFrameWrittenTwiceCountsOnce) {
  RecoveryFacts facts = facts_at(2, 1);
  facts.frames = {fact(1, 1, 0), fact(2, 1, 1), fact(2, 1, 2)};
  auto plan = plan_recovery(facts);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(places(*plan), (std::vector<int64_t>{0, 2}));
}

TEST(Recovery, AFrameThatIsStoredAgainLateCutsNothing) {
  RecoveryFacts facts = facts_at(3, 1);
  facts.frames = {fact(1, 1, 0), fact(2, 1, 1), fact(1, 1, 2), fact(3, 1, 3)};
  auto plan = plan_recovery(facts);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(places(*plan), (std::vector<int64_t>{0, 1, 3}));
}

TEST(Recovery, BeginsWithTheLatestSnapshotThatIsNotPastTheSink) {
  RecoveryFacts facts = facts_at(5, 1);
  facts.frames = {fact(4, 1, 10), fact(5, 1, 11), fact(6, 1, 13)};
  facts.snapshots = {fact(3, 1, 9), fact(4, 1, 12), fact(6, 1, 14)};
  auto plan = plan_recovery(facts);
  ASSERT_TRUE(plan.ok());
  ASSERT_TRUE(plan->snapshot.has_value());
  EXPECT_EQ(plan->snapshot->at, 12);
  EXPECT_EQ(places(*plan), (std::vector<int64_t>{11}));
}

TEST(Recovery, ASnapshotOfADeadLineIsIgnored) {
  RecoveryFacts facts = facts_at(4, 2);
  facts.frames = {fact(3, 1, 0), fact(4, 2, 1)};
  facts.snapshots = {fact(2, 1, 5), fact(4, 1, 6)};
  auto plan = plan_recovery(facts);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->snapshot->at, 5);
  EXPECT_EQ(places(*plan), (std::vector<int64_t>{0, 1}));
}

TEST(Recovery, ASnapshotAloneIsEnough) {
  RecoveryFacts facts = facts_at(7, 3);
  facts.snapshots = {fact(7, 3, 2)};
  auto plan = plan_recovery(facts);
  ASSERT_TRUE(plan.ok());
  EXPECT_TRUE(plan->frames.empty());
}

TEST(Recovery, AChangelogBehindTheSinkStops) {
  RecoveryFacts behind = facts_at(3, 1);
  behind.frames = {fact(1, 1, 0), fact(2, 1, 1)};
  EXPECT_EQ(plan_recovery(behind).error().code, Code::kCorrupt);

  RecoveryFacts hole = facts_at(3, 1);
  hole.frames = {fact(1, 1, 0), fact(3, 1, 2)};
  EXPECT_EQ(plan_recovery(hole).error().code, Code::kCorrupt);

  RecoveryFacts other_owner = facts_at(3, 2);
  other_owner.frames = {fact(1, 1, 0), fact(2, 1, 1), fact(3, 1, 2)};
  EXPECT_EQ(plan_recovery(other_owner).error().code, Code::kCorrupt);
}

TEST(Recovery, AStatelessPipelineNeedsNoChangelog) {
  RecoveryFacts facts = facts_at(3, 1);
  facts.stateful = false;
  auto plan = plan_recovery(facts);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->resume, facts.sink.position);
}

TEST(Recovery, AFencedOwnersLateFrameDoesNotShadowASnapshotThatCutTheRest) {
  RecoveryFacts facts = facts_at(7, 12);
  facts.snapshots = {fact(6, 12, 10)};
  facts.frames = {fact(6, 11, 11), fact(7, 12, 12)};
  auto plan = plan_recovery(facts);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  ASSERT_TRUE(plan->snapshot.has_value());
  EXPECT_EQ(places(*plan), (std::vector<int64_t>{12}));
}

// A late owner has put its position over the next one's.
TEST(Recovery, InStepsTheNewestStateWillDo) {
  RecoveryFacts facts = facts_at(3, 1);
  facts.in_steps = true;
  facts.frames = {fact(1, 1, 0), fact(2, 1, 1), fact(3, 1, 2)};
  auto exact = plan_recovery(facts);
  ASSERT_TRUE(exact.ok());
  EXPECT_FALSE(exact->approximate);
  EXPECT_EQ(places(*exact), (std::vector<int64_t>{0, 1, 2}));

  facts.frames = {fact(1, 1, 0), fact(2, 1, 1), fact(3, 7, 2), fact(3, 1, 3), fact(4, 7, 4)};
  auto superseded = plan_recovery(facts);
  ASSERT_TRUE(superseded.ok());
  EXPECT_TRUE(superseded->approximate);
  EXPECT_EQ(superseded->resume, facts.sink.position);
  EXPECT_EQ(places(*superseded), (std::vector<int64_t>{0, 1, 2, 4}));

  facts.snapshots = {fact(2, 1, 5), fact(4, 7, 6)};
  facts.frames = {fact(5, 7, 7), fact(6, 7, 8)};
  auto cut = plan_recovery(facts);
  ASSERT_TRUE(cut.ok());
  ASSERT_TRUE(cut->snapshot.has_value());
  EXPECT_EQ(cut->snapshot->at, 6);
  EXPECT_EQ(places(*cut), (std::vector<int64_t>{7, 8}));

  facts.frames.clear();
  facts.snapshots.clear();
  auto nothing = plan_recovery(facts);
  ASSERT_TRUE(nothing.ok());
  EXPECT_TRUE(nothing->approximate);
  EXPECT_TRUE(nothing->frames.empty());
}

}  // namespace
}  // namespace tidemill::pipeline
