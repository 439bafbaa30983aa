// What brokers refuse, and state that is larger than one record of theirs. On a broker, as contracts_test.cc.
#include <gtest/gtest.h>

#include <set>

#include "base/clock.h"
#include "broker.h"
#include "ingest/kafka_source.h"
#include "kafka/producer.h"
#include "pipeline/kafka_changelog.h"
#include "pipeline/pipeline.h"
#include "process/dedup.h"
#include "serve/kafka_sink.h"

namespace tidemill {
namespace {

constexpr int64_t kPatienceNs = 60'000'000'000;

// From one topic to another, with a dedup by id.
struct Deduplicated {
  Deduplicated() {
    admin = kafka::Admin::open(broker()).value();
    input.name = fresh("in");
    input.configs = {{"max.message.bytes", "4000000"}, {"message.timestamp.after.max.ms", "9000000000000"}};
    EXPECT_TRUE(admin->create_topic(input).ok());
    sink.connection = source.connection = broker();
    sink.source_topic = source.topic = input.name;
    sink.source_cluster = admin->cluster_id().value();
    sink.source_partitions = 1;
    sink.topic = fresh("out");
    sink.pipeline = source.pipeline = fresh("pipe");
    sink.stateful = true;
    source.fetch_wait_ms = 10;
  }
  void produce(const std::vector<std::string>& ids, int64_t timestamp_ms = 0) {
    kafka::ProducerOptions options;
    options.properties = {{"message.max.bytes", "4000000"}};
    std::unique_ptr<kafka::Producer> producer = kafka::Producer::open(broker(), options).value();
    for (const std::string& id : ids) {
      const std::string value = "{\"id\":\"" + id + "\",\"key\":\"k\"}";
      Record record;
      record.key = "k";
      record.has_key = record.has_value = true;
      record.value = value;
      record.timestamp_ms = timestamp_ms;
      ASSERT_TRUE(producer->produce({input.name, Partition(0)}, record).ok());
    }
    ASSERT_TRUE(producer->flush(30'000).ok());
  }
  // Until all that is there is processed, or its error.
  Status run() {
    process::DedupOptions dedup;
    dedup.last = 60'000;
    std::vector<std::unique_ptr<pipeline::Operator>> operators;
    TM_ASSIGN(auto one, process::make_dedup(dedup));
    operators.push_back(std::move(one));
    Schema schema;
    schema.name = "thing";
    schema.fields = {{"id", {"id"}, Type::kVarchar, true}, {"key", {"key"}, Type::kVarchar, true}};
    schema.id_field = "id";
    schema.key_field = "key";
    serve::KafkaSink into(sink);
    TM_ASSIGN(auto from, ingest::KafkaSource::open(source));
    TM_ASSIGN(pipeline::Plan plan,
              pipeline::make_plan(schema, std::move(operators), into.needs(), 4'000'000));
    TM_ASSIGN(auto changelog, pipeline::KafkaChangelog::open(broker(), sink.pipeline, {}));
    pipeline::Pipeline::Parts parts;
    parts.plan = &plan;
    parts.source = from.get();
    parts.sink = &into;
    parts.changelog = changelog.get();
    parts.clock = &Clock::system();
    parts.random = &Random::system();
    pipeline::PipelineOptions options;
    options.name = sink.pipeline;
    options.snapshot_min_bytes = 1 << 20;
    pipeline::Pipeline pipeline(parts, options);
    TM_TRY(pipeline.start());
    const int64_t deadline = Clock::system().steady_ns() + kPatienceNs;
    while (pipeline.running() && !pipeline.settled() && Clock::system().steady_ns() < deadline)
      Clock::system().sleep_us(10'000);
    pipeline.drain();
    return pipeline.wait();
  }
  int count(const std::string& topic) {
    int found = 0;
    EXPECT_TRUE(for_each_record(topic, [&](int32_t, const Record&) { ++found; }).ok());
    return found;
  }

  std::unique_ptr<kafka::Admin> admin;
  kafka::NewTopic input;
  ingest::KafkaSourceOptions source;
  serve::KafkaSinkOptions sink;
};

std::vector<std::string> long_ids(size_t count, size_t bytes) {
  std::vector<std::string> ids;
  for (size_t i = 0; i < count; ++i) {
    std::string id = std::to_string(i) + "-";
    ids.push_back(id + std::string(bytes - id.size(), 'x'));
  }
  return ids;
}

TEST(KafkaChangelog, KeepsSomeMiBOfDedupStateOverARestart) {
  Deduplicated relay;
  const std::vector<std::string> ids = long_ids(20'000, 250);
  relay.produce(ids);
  Status first = relay.run();
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_EQ(relay.count(relay.sink.topic), 20'000);
  size_t snapshots = 0, bytes = 0;
  EXPECT_TRUE(
      for_each_record(pipeline::kafka_changelog_topic(relay.sink.pipeline), [&](int32_t,
                                                                                const Record& record) {
        auto part = pipeline::decode_changelog(record.value);
        ASSERT_TRUE(part.ok());
        if (part->kind != pipeline::ChangelogRecord::kSnapshot) return;
        ++snapshots;
        bytes += record.value.size();
      }).ok());
  EXPECT_GT(snapshots, 1u);
  EXPECT_GT(bytes, size_t{20'000} * 250);

  relay.produce(ids);
  relay.produce({"one more"});
  Status second = relay.run();
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_EQ(relay.count(relay.sink.topic), 20'001);
}

// Two parts of a frame together are larger than it takes, and smaller than a batch is else.
TEST(KafkaChangelog, IsWrittenInBatchesThatItsTopicTakes) {
  Deduplicated relay;
  kafka::NewTopic topic;
  topic.name = pipeline::kafka_changelog_topic(relay.sink.pipeline);
  topic.configs = {{"max.message.bytes", "905000"}, {"cleanup.policy", "delete"}, {"retention.ms", "-1"}};
  ASSERT_TRUE(relay.admin->create_topic(topic).ok());
  relay.produce(long_ids(960, 1'000));
  Status ran = relay.run();
  ASSERT_TRUE(ran.ok()) << ran.error().message;
  EXPECT_EQ(relay.count(relay.sink.topic), 960);
  size_t most = 0, bytes = 0;
  EXPECT_TRUE(for_each_record(topic.name, [&](int32_t, const Record& record) {
                most = std::max(most, record.value.size());
                bytes += record.value.size();
              }).ok());
  EXPECT_GT(most, 700'000u);
  EXPECT_GT(bytes, 920'000u);
  EXPECT_LT(bytes, 990'000u);
}

TEST(KafkaChangelog, SaysWhatTheBrokerRefuses) {
  auto admin = kafka::Admin::open(broker()).value();
  for (const auto& [setting, value] :
       {std::pair{"max.message.bytes", "2000"}, {"cleanup.policy", "compact"}}) {
    const std::string name = fresh("pipe");
    kafka::NewTopic topic;
    topic.name = pipeline::kafka_changelog_topic(name);
    topic.configs = {{setting, value}};
    ASSERT_TRUE(admin->create_topic(topic).ok());
    Status created = pipeline::create_kafka_changelog(*admin, name, 1, -1);
    ASSERT_FALSE(created.ok());
    EXPECT_NE(created.error().message.find("topic " + topic.name), std::string::npos);
    EXPECT_NE(created.error().message.find(setting), std::string::npos) << created.error().message;

    auto changelog = pipeline::KafkaChangelog::open(broker(), name, {}).value();
    const TopicPartition source{"in", Partition(0)};
    ASSERT_TRUE(changelog->append(source, {std::string(5'000, 's')}).ok());
    Status synced = changelog->sync();
    ASSERT_FALSE(synced.ok()) << setting << ": nothing of it is there";
    EXPECT_FALSE(synced.error().retryable);
    EXPECT_NE(synced.error().message.find(topic.name), std::string::npos) << synced.error().message;
  }
  const std::string name = fresh("pipe");
  ASSERT_TRUE(pipeline::create_kafka_changelog(*admin, name, 1, -1).ok());
  EXPECT_TRUE(pipeline::create_kafka_changelog(*admin, name, 1, -1).ok()) << "the one that it made itself";
}

// From a topic whose events may be larger than those of the one that is served.
TEST(KafkaSink, WhatItsTopicsCannotHoldIsADeadLetterCutToFit) {
  Deduplicated relay;
  for (const std::string& name : {relay.sink.topic, relay.sink.topic + ".dead"}) {
    kafka::NewTopic topic;
    topic.name = name;
    topic.configs = {{"max.message.bytes", "20000"}, {"message.timestamp.type", "CreateTime"}};
    ASSERT_TRUE(relay.admin->create_topic(topic).ok());
  }
  const int64_t tomorrow_ms = Clock::system().wall_us() / 1000 + 86'400'000;
  relay.produce({"short", std::string(19'000, 'a'), std::string(60'000, 'b'), "last"}, tomorrow_ms);
  relay.produce(long_ids(50, 2'000), tomorrow_ms);  // one batch of them is larger than the topic takes
  Status ran = relay.run();
  ASSERT_TRUE(ran.ok()) << ran.error().message;
  EXPECT_EQ(relay.count(relay.sink.topic), 53);
  int letters = 0;
  EXPECT_TRUE(for_each_record(relay.sink.topic + ".dead", [&](int32_t, const Record& record) {
                ++letters;
                auto headers = headers_of(record);
                EXPECT_EQ(headers["cut"], "key of 1 bytes, value of 60019 bytes");
                EXPECT_NE(headers["reason"].find("takes 20000"), std::string::npos) << headers["reason"];
                EXPECT_GT(record.value.size(), 19'000u);
                EXPECT_TRUE(record.value.starts_with("{\"id\":\"bbb"));
                EXPECT_LT(record.timestamp_ms, tomorrow_ms);
              }).ok());
  EXPECT_EQ(letters, 1);
}

TEST(KafkaSink, ATombstoneIsADeadLetterWithoutAValue) {
  Deduplicated relay;
  std::unique_ptr<kafka::Producer> producer = kafka::Producer::open(broker(), {}).value();
  Record tombstone;
  tombstone.key = "k";
  tombstone.has_key = true;
  ASSERT_TRUE(producer->produce({relay.input.name, Partition(0)}, tombstone).ok());
  ASSERT_TRUE(producer->flush(30'000).ok());
  Status ran = relay.run();
  ASSERT_TRUE(ran.ok()) << ran.error().message;
  EXPECT_EQ(relay.count(relay.sink.topic), 0);
  int letters = 0;
  EXPECT_TRUE(for_each_record(relay.sink.topic + ".dead", [&](int32_t, const Record& record) {
                ++letters;
                EXPECT_EQ(record.key, "k");
                EXPECT_FALSE(record.has_value);
                EXPECT_NE(headers_of(record)["reason"], "");
              }).ok());
  EXPECT_EQ(letters, 1);
}

// What brokers refuse for good is said at once, and not tried again.
TEST(KafkaSink, SaysAtOnceWhatIsRefusedForGood) {
  Deduplicated relay;
  kafka::NewTopic topic;
  topic.name = relay.sink.topic;
  ASSERT_TRUE(relay.admin->create_topic(topic).ok());
  relay.sink.connection.properties = {{"message.max.bytes", "3000000"}, {"batch.size", "3000000"}};
  relay.produce(long_ids(1'000, 2'000));
  Status ran = relay.run();
  ASSERT_FALSE(ran.ok());
  EXPECT_EQ(ran.error().code, Code::kRefused);
  EXPECT_NE(ran.error().message.find("raise max.message.bytes of the topic"), std::string::npos)
      << ran.error().message;
  EXPECT_EQ(relay.count(relay.sink.topic), 0);
}

}  // namespace
}  // namespace tidemill
