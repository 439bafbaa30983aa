#include "process/sql.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/random.h"
#include "duck/duck.h"
#include "event/json_decoder.h"
#include "pipeline/lane.h"

namespace tidemill::process {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kNoonUs = 1'772'366'400 * kSecondUs;  // 2026-03-01T12:00:00Z

SqlOptions options_of(const std::string& query) {
  SqlOptions options;
  options.query = query;
  options.every_us = 15 * kSecondUs;
  return options;
}

// What bind() makes of the sensor event's schema, or the error.
std::string bind(SqlOptions options) {
  auto op = make_sql(std::move(options));
  if (!op.ok()) return op.error().message;
  Schema schema = sensor_schema();
  if (Status bound = (*op)->bind(&schema); !bound.ok()) return bound.error().message;
  std::string text;
  for (const Field& field : schema.fields)
    text += field.name + " " + std::string(type_name(field.type)) + ", ";
  return text;
}

// A lane of one partition.
class Query {
 public:
  explicit Query(SqlOptions options) : Query(std::move(*make_sql(std::move(options)))) {}
  explicit Query(std::unique_ptr<pipeline::Operator> sql) {
    std::vector<std::unique_ptr<pipeline::Operator>> operators;
    operators.push_back(std::move(sql));
    auto plan = pipeline::make_plan(sensor_schema(), std::move(operators), {});
    EXPECT_TRUE(plan.ok()) << plan.error().message;
    plan_ = std::move(*plan);
    decoder_ = std::make_unique<JsonDecoder>(plan_.decode);
    begin();
  }
  void begin() {
    lane_ = std::make_unique<pipeline::Lane>(plan_, source_, 1u << 20);
    lane_->begin_at({}, Position{Offset(next_), LeaderEpoch(1)});
  }
  Status feed(const std::vector<std::string>& events, int64_t interval_us) {
    auto batch = std::make_unique<Batch>();
    batch->source = source_;
    batch->first = Offset(next_);
    auto kept = std::make_shared<std::vector<std::string>>(events);
    std::vector<Record> records;
    for (const std::string& event : *kept) {
      Record record;
      record.offset = Offset(next_++);
      record.timestamp_ms = interval_us / 1000;
      record.has_value = true;
      record.value = event;
      records.push_back(record);
    }
    batch->set_records(std::move(records), kept);
    batch->end = Position{Offset(next_), LeaderEpoch(1)};
    batch->select_all();
    decoder_->decode(*batch);
    return lane_->process(std::move(batch), interval_us, interval_us, [](BatchPtr made) {
      EXPECT_TRUE(made->selected.empty());
      return ok_status();
    });
  }
  // The rows, as "key|value".
  Result<std::vector<std::string>> end() {
    std::vector<std::string> rows;
    TM_TRY(lane_->end_interval([&](BatchPtr made) {
      for (uint32_t row : made->selected) {
        const Record& record = made->records()[row];
        rows.push_back((record.has_key ? std::string(record.key) : "-") + "|" + std::string(record.value));
      }
      columns_ = std::move(made->columns);
      dead_ = std::move(made->dead_letters);
      return ok_status();
    }));
    epoch_ = lane_->end_epoch().value();
    return rows;
  }
  pipeline::Lane& lane() { return *lane_; }
  const pipeline::PartitionEpoch& epoch() const { return epoch_; }
  const std::vector<Column>& columns() const { return columns_; }
  const std::vector<DeadLetter>& dead() const { return dead_; }

 private:
  TopicPartition source_{"in", Partition(2)};
  pipeline::Plan plan_;
  std::unique_ptr<JsonDecoder> decoder_;
  std::unique_ptr<pipeline::Lane> lane_;
  pipeline::PartitionEpoch epoch_;
  std::vector<Column> columns_;
  std::vector<DeadLetter> dead_;
  int64_t next_ = 0;
};

std::string reading(const std::string& sensor, double measure) {
  return "{\"sensor\":\"" + sensor + "\",\"measure1\":" + std::to_string(measure) + ",\"measure2\":1}";
}

constexpr const char* kAverages =
    "SELECT sensor, avg(measure1) AS average, count(*) AS readings, interval_time() AS ts\n"
    "FROM input GROUP BY sensor ORDER BY sensor  -- each";

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sql-test-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

TEST(Sql, TheResultsColumnsAreTheFieldsOfTheRows) {
  EXPECT_EQ(bind(options_of(kAverages)), "sensor VARCHAR, average DOUBLE, readings BIGINT, ts TIMESTAMP, ");
  EXPECT_EQ(bind(options_of("SELECT sum(_partition_id) AS a, 1.5 AS b, [1, 2] AS c, true AS d, "
                            "max(_timestamp)::DATE AS e, 3::TINYINT AS f FROM input")),
            "a BIGINT, b DOUBLE, c JSON, d BOOLEAN, e TIMESTAMP, f INTEGER, ");
  EXPECT_EQ(bind(options_of("SELECT ';--' AS a, $$;$$ AS \";\" ; -- each;\n ; /* ; */ ")),
            "a VARCHAR, ; VARCHAR, ");
  EXPECT_EQ(bind(options_of("PIVOT input ON sensor IN ('a;', 'b') USING count(*) GROUP BY measure1")),
            "measure1 DOUBLE, a; BIGINT, b BIGINT, ");
  // It does not run.
  EXPECT_EQ(bind(options_of("SELECT count(*) AS c FROM range(1000000000000) -- each")), "c BIGINT, ");
}

TEST(Sql, WhatIsWrongWithAQueryIsSaidWithItsPlace) {
  EXPECT_THAT(bind(options_of("SELECT sensor,\n       average(measure1) FROM input")),
              AllOf(HasSubstr("average does not exist"), HasSubstr("(line 2, column 8)")));
  EXPECT_THAT(bind(options_of("SELECT sensr FROM input")), HasSubstr("\"sensr\" not found"));
  EXPECT_THAT(bind(options_of("SELEC 1")), HasSubstr("(line 1, column 1)"));
  EXPECT_THAT(bind(options_of("DELETE FROM input")), HasSubstr("a query reads"));
  EXPECT_THAT(bind(options_of("SELECT 1; SELECT 2")), HasSubstr("one statement"));
  EXPECT_THAT(bind(options_of("SELECT 1 AS a, 2 AS A")), HasSubstr("two columns"));
  EXPECT_THAT(bind(options_of("FROM read_csv('/etc/passwd')")), HasSubstr("disabled"));
  EXPECT_THAT(bind(options_of("  ")), HasSubstr("is missing"));
  for (const char* pivot :
       {"PIVOT input ON sensor USING count(*)", "FROM (PIVOT input ON sensor USING count(*))",
        "WITH p AS (PIVOT input ON sensor USING count(*)) FROM p; "})
    EXPECT_THAT(bind(options_of(pivot)), HasSubstr("a PIVOT without IN")) << pivot;
  SqlOptions keyed = options_of(kAverages);
  keyed.key = "sensors";
  EXPECT_THAT(bind(keyed), HasSubstr("did you mean sensor?"));
  SqlOptions counts = options_of(kAverages);
  counts.count = "reading";
  EXPECT_THAT(bind(counts), HasSubstr("no column reading; it has sensor, average, readings, ts"));
  counts.count = "average";
  EXPECT_THAT(bind(counts), HasSubstr("is DOUBLE; what counts events is a whole number"));
  counts.count = "readings";
  EXPECT_THAT(bind(counts), HasSubstr("readings BIGINT"));
}

TEST(Sql, AnIntervalsEventsBecomeItsRows) {
  SqlOptions options = options_of(kAverages);
  options.key = "sensor";
  Query query(options);
  ASSERT_TRUE(query.feed({reading("a", 1), reading("b", 5)}, kNoonUs).ok());
  ASSERT_TRUE(query.feed({reading("a", 2), "not json"}, kNoonUs).ok());
  auto rows = query.end();
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  EXPECT_THAT(*rows,
              ElementsAre(R"(a|{"sensor":"a","average":1.5,"readings":2,"ts":"2026-03-01T12:00:00.000000Z"})",
                          R"(b|{"sensor":"b","average":5,"readings":1,"ts":"2026-03-01T12:00:00.000000Z"})"));
  ASSERT_EQ(query.columns().size(), 4U);
  EXPECT_EQ(query.columns()[2].int64_at(0), 2);
  EXPECT_EQ(query.epoch().counters.read, 4U);
  EXPECT_EQ(query.epoch().counters.dropped, 3U);
  EXPECT_EQ(query.epoch().counters.dead, 1U);
  EXPECT_EQ(query.epoch().counters.stored, 2U);

  // The next has its own events only.
  ASSERT_TRUE(query.feed({reading("c", 1)}, kNoonUs + 15 * kSecondUs).ok());
  EXPECT_THAT(*query.end(), ElementsAre(AllOf(HasSubstr("\"c\""), HasSubstr("12:00:15."))));
}

TEST(Sql, AnIntervalWithoutEventsHasNoRows) {
  Query query(options_of("SELECT count(*) AS events FROM input"));
  ASSERT_TRUE(query.feed({"not json"}, kNoonUs).ok());
  EXPECT_TRUE(query.end()->empty());
}

TEST(Sql, TheTimeOfAnIntervalIsUsedOnceThoughTheClockGoesBack) {
  Query query(options_of("SELECT interval_time() AS ts FROM input"));
  ASSERT_TRUE(query.feed({reading("a", 1)}, kNoonUs).ok());
  EXPECT_THAT(*query.end(), ElementsAre(HasSubstr("12:00:00.")));
  ASSERT_TRUE(query.feed({reading("a", 1)}, kNoonUs).ok());
  EXPECT_THAT(*query.end(), ElementsAre(HasSubstr("12:00:15.")));
  // Nor by the next owner.
  const std::string state = query.lane().snapshot_deltas();
  query.begin();
  ASSERT_TRUE(query.lane().apply(state).ok());
  ASSERT_TRUE(query.feed({reading("a", 1)}, kNoonUs - 60 * kSecondUs).ok());
  EXPECT_THAT(*query.end(), ElementsAre(HasSubstr("12:00:30.")));
  EXPECT_FALSE(query.lane().apply("\x01").ok());
}

TEST(Sql, ReferenceTablesAreJoined) {
  Folder folder;
  std::ofstream(folder.file("sensors.csv")) << "sensor,place\na,roof\nb,cellar\n";
  {
    auto database = duck::Database::open(folder.file("limits.duckdb"));
    ASSERT_TRUE(database.ok()) << database.error().message;
    auto connection = *(*database)->connect();
    ASSERT_TRUE(connection->execute("CREATE TABLE most AS SELECT 'a' AS sensor, 7 AS most").ok());
    ASSERT_TRUE(
        connection
            ->execute("COPY (SELECT 'b' AS sensor, 1 AS least) TO '" + folder.file("least.parquet") + "'")
            .ok());
  }
  SqlOptions options = options_of(
      "SELECT sensor, place, most, least FROM input JOIN sensors USING (sensor) LEFT JOIN limits USING "
      "(sensor) "
      "LEFT JOIN least USING (sensor)");
  options.tables = {{"sensors", folder.file("sensors.csv")},
                    {"limits", folder.file("limits.duckdb:most")},
                    {"least", folder.file("least.parquet")}};
  Query query(options);
  ASSERT_TRUE(query.feed({reading("a", 1), reading("b", 1), reading("c", 1)}, kNoonUs).ok());
  auto rows = query.end();
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  EXPECT_THAT(*rows, UnorderedElementsAre(R"(-|{"sensor":"a","place":"roof","most":7,"least":null})",
                                          R"(-|{"sensor":"b","place":"cellar","most":null,"least":1})"));
  // Who does not run the query takes its columns from what a run has noted.
  options.noted_columns = folder.file("state/noted");
  EXPECT_EQ(bind(options), "sensor VARCHAR, place VARCHAR, most INTEGER, least INTEGER, ");
  std::filesystem::remove(folder.file("sensors.csv"));
  EXPECT_THAT(bind(options), HasSubstr("tables.sensors: "));
  options.run = false;
  EXPECT_EQ(bind(options), "sensor VARCHAR, place VARCHAR, most INTEGER, least INTEGER, ");
  options.query += " LIMIT 1";
  EXPECT_THAT(bind(options), HasSubstr("tables.sensors: "));
  options.noted_columns.clear();
  options.tables = {{"sensors", folder.file("none.csv")}};
  EXPECT_THAT(bind(options), HasSubstr("tables.sensors: "));
  options.tables = {{"sensors", "sensors.txt"}};
  EXPECT_THAT(bind(options), HasSubstr("is no reference table; give a file.csv"));
}

TEST(Sql, ARowWithoutAColumnOfTheTablesKeyIsADeadLetter) {
  SqlOptions options =
      options_of("SELECT nullif(sensor, 'b') AS sensor, count(*) AS n FROM input GROUP BY 1 ORDER BY 1");
  options.table_key = {"sensor", "elsewhere"};
  auto op = make_sql(options);
  Schema schema = sensor_schema();
  ASSERT_TRUE((*op)->bind(&schema).ok());
  EXPECT_FALSE(schema.fields[0].nullable);
  EXPECT_TRUE(schema.fields[1].nullable);
  Query query(options);
  ASSERT_TRUE(query.feed({reading("a", 1), reading("b", 1)}, kNoonUs).ok());
  EXPECT_THAT(*query.end(), ElementsAre(R"(-|{"sensor":"a","n":1})"));
  ASSERT_EQ(query.dead().size(), 1U);
  EXPECT_EQ(query.dead()[0].value, R"({"sensor":null,"n":1})");
  EXPECT_EQ(query.dead()[0].reason, "process.sql: sensor is NULL, and the table's key has it");
}

TEST(Sql, ARowOfJsonWithAnInfinityIsADeadLetter) {
  const auto dead = [](const std::string& query, bool json) {
    SqlOptions options = options_of(query);
    options.json_rows = json;
    Query one(options);
    EXPECT_TRUE(one.feed({reading("a", 1), reading("b", 2)}, kNoonUs).ok());
    auto rows = one.end();
    EXPECT_TRUE(rows.ok()) << rows.error().message;
    EXPECT_EQ(rows->size() + one.dead().size(), 2U);
    return one.dead().empty() ? "" : one.dead()[0].reason;
  };
  const char* ratio = "SELECT sensor, measure1 / (measure1 - 1) AS ratio FROM input ORDER BY sensor";
  EXPECT_EQ(dead(ratio, true), "process.sql: ratio is an infinity or NaN, which JSON cannot hold");
  EXPECT_EQ(dead(ratio, false), "") << "a table holds it";
  // What DuckDB makes of it is no JSON in a table either.
  const char* inside = "SELECT {'NaN\\\"I': measure1 / (measure1 - 1)} AS ratios FROM input ORDER BY sensor";
  EXPECT_EQ(dead(inside, false), "process.sql: ratios has an infinity or NaN, which JSON cannot hold");
}

TEST(Sql, AnErrorOfTheQuerySaysThatNothingIsLost) {
  Query query(options_of("SELECT CAST(sensor AS INTEGER) AS number FROM input"));
  ASSERT_TRUE(query.feed({reading("a", 1)}, kNoonUs).ok());
  auto rows = query.end();
  ASSERT_FALSE(rows.ok());
  EXPECT_EQ(rows.error().domain, Domain::kUser);
  EXPECT_THAT(rows.error().message, AllOf(HasSubstr("process.sql: "), HasSubstr("nothing is lost")));
}

TEST(Sql, AQueryThatIsInterruptedConcurrentlyEndsAsStopped) {
  auto op = make_sql(
      options_of("SELECT sum(a.range * b.range) AS s FROM input, range(10000000) a, range(10000000) b"));
  ASSERT_TRUE(op.ok());
  pipeline::Operator* interrupted = op->get();
  Query query(std::move(*op));
  ASSERT_TRUE(query.feed({reading("a", 1)}, kNoonUs).ok());
  std::atomic<bool> done{false};
  std::thread interrupter([&] {
    while (!done) {
      interrupted->interrupt();
      std::this_thread::yield();
    }
  });
  auto rows = query.end();
  done = true;
  interrupter.join();
  ASSERT_FALSE(rows.ok());
  EXPECT_EQ(rows.error().code, Code::kStopped) << rows.error().message;
}

TEST(Sql, EventsBeyondTheMemoryGoToDiskAndBeyondThatItStops) {
  Folder folder;
  SqlOptions options = options_of("SELECT count(*) AS events, sum(length(sensor)) AS letters FROM input");
  options.memory_limit_bytes = 16 << 20;
  options.spill_directory = folder.file("spill");
  auto fill = [&](Query& query) {
    SeededRandom random(1);
    Status fed;
    for (int i = 0; i < 20 && fed.ok(); ++i) {
      std::vector<std::string> events;
      for (int k = 0; k < 1000; ++k) {
        std::string text(1900, ' ');
        for (char& c : text) c = static_cast<char>('a' + random.below(26));
        events.push_back(reading(text, 1));
      }
      fed = query.feed(events, kNoonUs);
    }
    if (!fed.ok()) return Result<std::vector<std::string>>(fed.error());
    return query.end();
  };
  Query query(options);
  auto rows = fill(query);
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  EXPECT_THAT(*rows, ElementsAre(R"(-|{"events":20000,"letters":38000000})"));
  options.spill_bytes = 1 << 20;
  Query cramped(options);
  rows = fill(cramped);
  ASSERT_FALSE(rows.ok());
  EXPECT_THAT(rows.error().message, HasSubstr("process.sql.memory"));
}

}  // namespace
}  // namespace tidemill::process
