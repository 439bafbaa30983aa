#include "solution/connect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemill::solution {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const ConnectRequest kStopped{"mine/1", "/runs/mine/1", false};

TEST(Connect, ADuckDbFileIsOpenedOrTheRunIsAsked) {
  Solution solution;
  solution.serve.kind = SinkKind::kDuckDb;
  EXPECT_EQ(*connect_text(solution, kStopped), "duckdb -readonly /runs/mine/1/store.duckdb\n");
  solution.serve.duckdb.database = "/my stores/a.duckdb";
  EXPECT_EQ(*connect_text(solution, kStopped), "duckdb -readonly \"/my stores/a.duckdb\"\n");
  ConnectRequest live = kStopped;
  live.live = true;
  EXPECT_THAT(*connect_text(solution, live),
              HasSubstr("\ntidemill query mine/1 \"FROM rawdata LIMIT 10\"\n"));
}

TEST(Connect, TopicsFoldersAndNothing) {
  Solution solution;
  solution.name = "mine";
  solution.serve.kind = SinkKind::kLog;
  solution.serve.log.topic = "out";
  EXPECT_EQ(*connect_text(solution, kStopped), "tidemill log read mine/1 out\n");
  solution.serve.kind = SinkKind::kFiles;
  EXPECT_THAT(*connect_text(solution, kStopped), ::testing::EndsWith("\n/runs/mine/1/files\n"));
  solution.serve.kind = SinkKind::kDelta;
  EXPECT_THAT(*connect_text(solution, kStopped), ::testing::EndsWith("\n/runs/mine/1/rawdata\n"));
  solution.serve.delta.table = "https://acme.blob.core.windows.net/data/a/rawdata";
  solution.serve.delta.azure.access.key = "SECRET";
  EXPECT_THAT(*connect_text(solution, kStopped),
              ::testing::EndsWith("\nabfss://data@acme.dfs.core.windows.net/a/rawdata\n"));
  EXPECT_THAT(*connect_text(solution, kStopped), ::testing::Not(HasSubstr("SECRET")));
  solution.serve.kind = SinkKind::kNull;
  EXPECT_THAT(connect_text(solution, kStopped).error().message, HasSubstr("mine serves nothing"));
}

TEST(Connect, KafkasConsumerReadsWhatIsCommittedAndIsToldOfNoPassword) {
  Solution solution;
  solution.serve.kind = SinkKind::kKafka;
  KafkaSink& sink = solution.serve.kafka;
  sink.topic = "out";
  sink.connection.brokers = "a:9092,b:9092";
  EXPECT_EQ(*connect_text(solution, kStopped),
            "kafka-console-consumer.sh --bootstrap-server a:9092,b:9092 --topic out --from-beginning "
            "--isolation-level read_committed\n");
  sink.connection.tls = true;
  sink.connection.sasl = kafka::SaslMechanism::kScramSha256;
  sink.connection.user = "me";
  sink.connection.password = "hush_hush";
  sink.connection.ca_file = "/ca.pem";
  const std::string text = *connect_text(solution, kStopped);
  EXPECT_THAT(text, HasSubstr("#   security.protocol=SASL_SSL\n#   sasl.mechanism=SCRAM-SHA-256\n"));
  EXPECT_THAT(text, HasSubstr("#   ssl.truststore.location=/ca.pem\n"));
  EXPECT_THAT(text, HasSubstr(" --consumer.config client.properties\n"));
  EXPECT_THAT(text, Not(HasSubstr("hush_hush")));
}

TEST(Connect, PsqlGetsTheConnectionWithoutItsPassword) {
  Solution solution;
  solution.serve.kind = SinkKind::kPostgres;
  PostgresSink& sink = solution.serve.postgres;
  sink.connection = "postgresql://me:hush_hush@db:5433/mine?sslmode=verify-full";
  sink.password = "hush_too";
  Result<std::string> text = connect_text(solution, kStopped);
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_THAT(*text, HasSubstr("\npsql \"user=me"));
  EXPECT_THAT(*text, HasSubstr("dbname=mine host=db port=5433"));
  EXPECT_THAT(*text, HasSubstr("sslmode=verify-full"));
  EXPECT_THAT(*text, Not(HasSubstr("hush")));
  sink.connection = "host=db dbname='it''s'";
  EXPECT_THAT(connect_text(solution, kStopped).error().message,
              HasSubstr("serve.postgres.connection is no URI"));
  sink.connection = "host=db dbname='its \\' $own' user=me";
  EXPECT_THAT(connect_text(solution, kStopped).value(), HasSubstr("dbname='\\''its \\'\\'' $own'\\''"));
}

}  // namespace
}  // namespace tidemill::solution
