#include "kafka/topic_pattern.h"

#include <gtest/gtest.h>

namespace tidemill::kafka {
namespace {

TEST(TopicPattern, MatchesFromTheStartAndNoTopicOfTheBrokers) {
  EXPECT_TRUE(is_pattern("^sensor-.*"));
  EXPECT_FALSE(is_pattern("sensor-1"));
  EXPECT_TRUE(matches_pattern("^sensor-.*", "sensor-1"));
  EXPECT_TRUE(matches_pattern("^sensor", "sensor-1"));
  EXPECT_FALSE(matches_pattern("^sensor$", "sensor-1"));
  EXPECT_FALSE(matches_pattern("^sensor-.*", "a-sensor-1"));
  EXPECT_TRUE(matches_pattern("^(eu|us)-[0-9]+$", "eu-17"));
  EXPECT_FALSE(matches_pattern("^.*", "__consumer_offsets"));
}

TEST(TopicPattern, SaysWhatIsWrong) {
  EXPECT_EQ(pattern_fault("^sensor-.*"), "");
  EXPECT_NE(pattern_fault("^sensor-(.*"), "");
}

}  // namespace
}  // namespace tidemill::kafka
