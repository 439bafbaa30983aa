#include "solution/query_topic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "event/record_batch.h"
#include "solution/query.h"
#include "solution/testing/owned_run.h"
#include "solution/topic_reader.h"

namespace tidemill::solution {
namespace {

using ::testing::HasSubstr;
using testing::OwnedRun;

constexpr const char* kRelay =
    "name: t\nevent: telemetry\ningest: {log: {partitions: 3}}\nprocess: [enrich: [enqueuedAt], dedup]\n"
    "serve: log\n";

// The answer as CSV, or "error: …".
std::string ask(Host& host, const std::string& sql) {
  std::atomic<bool> gone{false};
  std::string out;
  Status asked = answer_query(
      host, {"query", {{"sql", sql}, {"format", "csv"}}, ""},
      [&](std::string_view piece) {
        out += piece;
        return true;
      },
      gone);
  return asked.ok() ? out : "error: " + asked.error().message;
}

void run_relay(OwnedRun& run, int64_t count) {
  ASSERT_TRUE(run.host->log().ok());
  ASSERT_TRUE(run.host->enter_processing().ok());
  std::atomic<bool> never{false};
  auto simulator = run.simulator(count, 1e6, "a", 10);
  Status simulated = simulator->run(never);
  ASSERT_TRUE(simulated.ok()) << simulated.error().message;
  ASSERT_TRUE(run.host->wait_settled([] { return false; }).ok());
}

void append(OwnedRun& run, const std::vector<std::string>& values) {
  RecordBatchBuilder builder;
  for (const std::string& value : values) builder.add(1'700'000'000'000, std::nullopt, value);
  std::string batch = builder.finish().value();
  log::Log& log = *run.host->log().value();
  auto appended = log.append({"t", Partition(0)}, batch, true);
  ASSERT_TRUE(appended.ok() && log.wait_durable(appended->sync_ticket).ok());
}

TEST(QueryTopic, InputAndOutputAreTablesBesideARunningPipeline) {
  OwnedRun run(kRelay);
  run_relay(run, 5'000);
  EXPECT_EQ(ask(*run.host, "SELECT count(*) AS n, count(DISTINCT eventId) AS ids FROM output"),
            "n,ids\n5000,5000\n");
  EXPECT_EQ(ask(*run.host, "SELECT count(DISTINCT eventId) AS ids, count(*) > 5000 AS more FROM input"),
            "ids,more\n5000,true\n");
  EXPECT_EQ(ask(*run.host,
                "SELECT count(*) AS n FROM \"t-out\" WHERE enqueuedAt >= createdAt AND value > 0 AND "
                "_key = deviceId AND (_message->>'eventId') = eventId"),
            "n\n5000\n");
  EXPECT_EQ(ask(*run.host,
                "SELECT count(DISTINCT _partition_id) AS n, min(_partition_offset) AS least FROM output"),
            "n,least\n3,0\n");
  EXPECT_EQ(ask(*run.host, "SELECT typeof(createdAt) AS a, typeof(value) AS b FROM output LIMIT 1"),
            "a,b\nTIMESTAMP,DOUBLE\n");
  EXPECT_TRUE(run.host->leave_processing().ok());
}

TEST(QueryTopic, EndsWhereTheTopicEndedAsItBegan) {
  OwnedRun run(kRelay);
  ASSERT_TRUE(run.host->log().ok());
  EXPECT_EQ(ask(*run.host, "SELECT count(*) AS n FROM input"), "n\n0\n");
  append(run, {"{}", "{}"});
  auto reader = TopicReader::of_log(*run.host->log().value(), "t", {});
  ASSERT_TRUE(reader.ok());
  append(run, {"{}"});
  int given = 0;
  while (!(*reader)->done()) given += (*reader)->next(0).value() ? 1 : 0;
  EXPECT_EQ(given, 2);
  TopicRange from;
  from.from = "2";
  from.partition = 0;
  reader = TopicReader::of_log(*run.host->log().value(), "t", from);
  ASSERT_TRUE(reader.ok());
  auto event = (*reader)->next(0).value();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->record->offset, Offset(2));
  from.partition = 7;
  auto none = TopicReader::of_log(*run.host->log().value(), "t", from);
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.error().message, HasSubstr("no partition 7; give one from 0 to 2"));
  from = {};
  from.from = "yesterday";
  EXPECT_FALSE(TopicReader::of_log(*run.host->log().value(), "t", from).ok());
}

TEST(QueryTopic, WhatIsNoEventHasNoFieldsButItsBytes) {
  OwnedRun run(kRelay);
  append(run, {"not json", "{\"value\": \"text\", \"type\": 7}", "\xff\xfe", "{\"value\": 1.5}"});
  EXPECT_EQ(ask(*run.host, "SELECT count(*) AS n, sum(value) AS v, max(type) AS t FROM input"),
            "n,v,t\n4,1.5,7\n");
  EXPECT_EQ(ask(*run.host, "SELECT _message AS m FROM input WHERE _partition_offset = 0"), "m\nnot json\n");
  EXPECT_EQ(ask(*run.host, "SELECT length(_message) AS m FROM input WHERE _partition_offset = 2"), "m\n2\n");
}

TEST(QueryTopic, AGivenUpQueryOutlivesItsRun) {
  std::shared_ptr<duck::Database> database;
  std::unique_ptr<duck::Connection> connection;
  std::unique_ptr<duck::Rows> rows;
  {
    OwnedRun run(kRelay);
    // More than DuckDB reads ahead.
    const std::vector<std::string> many(20'000, "{}");
    for (int i = 0; i < 20; ++i) append(run, many);
    auto store = open_topic_store(*run.host, run.host->solution()).value();
    database = store.database;
    connection = database->connect().value();
    ASSERT_TRUE(connection->execute(store.prepare).ok());
    rows = connection->read("SELECT _partition_offset FROM input").value();
    EXPECT_GT(rows->next().value(), 0U);
  }
  auto more = rows->next();
  while (more.ok() && *more > 0) more = rows->next();  // what DuckDB held already
  ASSERT_FALSE(more.ok());
  EXPECT_THAT(more.error().message, HasSubstr("the run has ended"));
}

TEST(QueryTopic, ReachesNothingElse) {
  OwnedRun run(kRelay);
  append(run, {"{}"});
  EXPECT_THAT(ask(*run.host, "FROM '/etc/passwd'"), HasSubstr("error"));
  EXPECT_THAT(ask(*run.host, "CREATE TABLE x AS FROM input"), HasSubstr("error"));
  EXPECT_THAT(ask(*run.host, "FROM rawdata"), HasSubstr("rawdata does not exist"));
}

}  // namespace
}  // namespace tidemill::solution
