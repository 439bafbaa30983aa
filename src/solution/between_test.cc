#include "solution/between.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "solution/load.h"
#include "solution/topic_reader.h"
#include "solution/wire.h"

namespace tidemill::solution {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kKafka = R"({kafka: {brokers: "here:9092", topic: in, partitions: 7}})";

Solution load(const std::string& ingest, const std::string& process, const std::string& serve,
              const std::string& more = "") {
  LoadRequest request{"orders.yaml",
                      "name: orders\nevent: telemetry\ningest: " + ingest + "\nprocess: [" + process +
                          "]\nserve: " + serve + "\n" + more,
                      {},
                      {},
                      [](const std::string&) { return std::nullopt; }};
  auto loaded = load_solution(request);
  EXPECT_TRUE(loaded.ok()) << loaded.error().message;
  return loaded->solution;
}

std::vector<std::string> names_of(const std::vector<KafkaTopic>& topics) {
  std::vector<std::string> names;
  for (const KafkaTopic& topic : topics) names.push_back(topic.name);
  return names;
}

// Where several processes share the store, they share what comes before it.
TEST(Between, ARekeysTopicIsInKafkaWhereTheStoreIsShared) {
  for (const char* serve :
       {"{kafka: {topic: out}}", "{kafka: {brokers: 'there:9092', topic: out}}", "postgres", "delta"}) {
    const std::vector<BetweenTopic> topics = between_topics(load(kKafka, "rekey: type, dedup", serve));
    ASSERT_EQ(topics.size(), 1u) << serve;
    EXPECT_TRUE(topics[0].in_kafka) << serve;
    EXPECT_EQ(topics[0].name, "orders-by-type");
    EXPECT_EQ(topics[0].dead_letters, "orders-by-type.dead");
    EXPECT_EQ(topics[0].pipeline, "orders-rekey-type");
    EXPECT_EQ(topics[0].partitions, 0) << "as many as the topic has that is read, which a run finds out";
  }
}

TEST(Between, ElseItIsInTheEmbeddedLog) {
  for (const char* serve : {"duckdb", "files", "parquet", "{log: {topic: out}}"}) {
    const std::vector<BetweenTopic> topics = between_topics(load(kKafka, "rekey: type, dedup", serve));
    ASSERT_EQ(topics.size(), 1u) << serve;
    EXPECT_FALSE(topics[0].in_kafka) << serve;
    EXPECT_EQ(topics[0].name, "orders-by-type");
    EXPECT_EQ(topics[0].partitions, 7) << "as ingest.kafka.partitions";
  }
  const Solution from_log = load("{log: {topic: in, partitions: 2}}", "rekey: type", "{kafka: {brokers: b}}");
  EXPECT_FALSE(between_topics(from_log)[0].in_kafka);
  EXPECT_EQ(between_topics(from_log)[0].name, "in-by-type");
}

// A group shares the partitions of one topic out, so each stage has its own.
TEST(Between, StagesOfOneFieldHaveTheirOwnGroups) {
  const Solution solution = load(kKafka,
                                 "rekey: {by: type, topic: a}, rekey: {by: deviceId, topic: b}, "
                                 "rekey: {by: type, topic: c, partitions: 3}",
                                 "postgres");
  std::vector<std::string> groups;
  for (const BetweenTopic& topic : between_topics(solution)) groups.push_back(topic.pipeline);
  EXPECT_THAT(groups, ElementsAre("orders-rekey-type", "orders-rekey-deviceId", "orders-rekey-type-2"));
  EXPECT_EQ(between_topics(solution)[2].partitions, 3);
}

TEST(Between, ItsTopicsInKafkaAreThoseOfTheSolution) {
  EXPECT_THAT(names_of(kafka_topics(load(kKafka, "rekey: type", "{kafka: {topic: out}}"))),
              ElementsAre("in", "orders-by-type", "orders-by-type.dead", "orders-rekey-type-changelog", "out",
                          "orders-dead-letters", "orders-changelog"));
  EXPECT_THAT(names_of(kafka_topics(load(kKafka, "rekey: type", "duckdb"))), ElementsAre("in"));
}

// In Kafka a commit is one transaction whatever the partitions, in the order in which they were read.
TEST(Between, OnlyTheEmbeddedLogsEpochsAreCutSmall) {
  const Solution solution = load(kKafka, "rekey: type", "{kafka: {topic: out}}", "pipeline: {tasks: 3}\n");
  Stage stage;
  stage.rekeys = true;
  EXPECT_EQ(pipeline_options(solution, stage).limits.max_events, 2048u);
  stage.to_kafka = true;
  EXPECT_EQ(pipeline_options(solution, stage).limits.max_events, 0u) << "what the sink prefers";
  EXPECT_EQ(pipeline_options(solution, stage).tasks, 1) << "which reads in the order of times";
}

TEST(Between, CheckSaysWhatADedupBehindItHasToHold) {
  EXPECT_THAT(rekey_note(load(kKafka, "rekey: type, dedup: {last: 50}", "{kafka: {topic: out}}")),
              HasSubstr("last: 50 has to hold the events of a key in that time"));
  EXPECT_THAT(rekey_note(load(kKafka, "rekey: type, dedup: {horizon: 5m}", "postgres")),
              HasSubstr("horizon: 5m has to be longer than that"));
  for (const char* process : {"rekey: type", "dedup, rekey: type", "dedup"})
    EXPECT_THAT(rekey_note(load(kKafka, process, "postgres")), IsEmpty()) << process;
  EXPECT_THAT(rekey_note(load(kKafka, "rekey: type, dedup", "duckdb")), IsEmpty()) << "one process";
}

TEST(Between, CheckSaysWhoseTimeAHorizonGoesBy) {
  EXPECT_THAT(horizon_note(load(kKafka, "dedup: {horizon: 5m}", "postgres")),
              HasSubstr("give the topic message.timestamp.type=LogAppendTime"));
  for (const char* process : {"dedup", "rekey: type, dedup: {horizon: 5m}"})
    EXPECT_THAT(horizon_note(load(kKafka, process, "postgres")), IsEmpty()) << process;
}

}  // namespace
}  // namespace tidemill::solution
