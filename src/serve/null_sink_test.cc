#include "serve/null_sink.h"

#include <gtest/gtest.h>

#include "pipeline/testing/sink_harness.h"
#include "pipeline/testing/sink_session.h"

namespace tidemill::serve {
namespace {

using pipeline::testing::FilledEpoch;
using pipeline::testing::SinkSession;
using pipeline::testing::StoreModel;

TEST(NullSink, CountsAndFencesWhileItLives) {
  NullSink sink;
  ASSERT_TRUE(sink.prepare(pipeline::testing::harness_schema()).ok());
  EXPECT_EQ(sink.traits().capability, pipeline::Capability::kAtLeastOnce);
  EXPECT_FALSE(sink.traits().weakness.empty());
  StoreModel model;
  SinkSession one = SinkSession::open(sink, 0).value();
  SinkSession two = SinkSession::open(sink, 1).value();
  ASSERT_TRUE(one.acquire({0, 1}, model).ok());
  FilledEpoch epoch = one.fill({0, 1}, 100, model).value();
  ASSERT_TRUE(one.commit_to(epoch, &model).ok());
  EXPECT_EQ(sink.rows(), epoch.rows.size());
  EXPECT_EQ(sink.dead_letters(), epoch.dead_letters.size());
  FilledEpoch late = one.fill({0, 1}, 100, model).value();
  ASSERT_TRUE(two.acquire({1}, model).ok());
  EXPECT_TRUE(one.expect_fenced(late, model).ok());
  EXPECT_EQ(sink.rows(), epoch.rows.size());
}

}  // namespace
}  // namespace tidemill::serve
