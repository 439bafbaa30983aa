#include "serve/duckdb_sink.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "event/timestamp.h"
#include "pipeline/testing/sink_harness.h"
#include "pipeline/testing/sink_session.h"
#include "serve/event_json.h"
#include "serve/testing/scratch.h"

namespace tidemill::serve {
namespace {

using namespace pipeline::testing;
using duck::Value;
using pipeline::Sink;

const std::vector<std::string> kSteps = {"duckdb.begin", "duckdb.rows.appended", "duckdb.positions.updated",
                                         "duckdb.committed"};

// Every row of a query, its values as DuckDB prints them.
std::vector<std::vector<std::string>> query(duck::Connection& connection, const std::string& sql) {
  auto rows = connection.query(sql);
  EXPECT_TRUE(rows.ok()) << sql << ": " << rows.error().message;
  std::vector<std::vector<std::string>> all;
  for (;;) {
    size_t count = (*rows)->next().value();
    if (count == 0) return all;
    for (size_t i = 0; i < count; ++i) {
      std::vector<std::string> row;
      for (size_t c = 0; c < (*rows)->column_count(); ++c) row.push_back((*rows)->display(c, i));
      all.push_back(std::move(row));
    }
  }
}

Result<StoredContents> read_store(duck::Database& database, const std::string& table) {
  StoredContents stored;
  TM_ASSIGN(auto connection, database.connect());
  TM_ASSIGN(auto rows, connection->query("SELECT id FROM " + quote_identifier(table)));
  for (;;) {
    TM_ASSIGN(size_t count, rows->next());
    if (count == 0) break;
    for (size_t i = 0; i < count; ++i) stored.rows.push_back(*parse_harness_id(rows->text(0, i)));
  }
  // Bytes as hexadecimal text: a BLOB is none of the kinds that Rows gives.
  TM_ASSIGN(auto letters,
            connection->query("SELECT \"partition\", \"offset\", reason, hex(\"value\"), topic FROM " +
                              quote_identifier(table + "_dead_letters")));
  for (;;) {
    TM_ASSIGN(size_t count, letters->next());
    if (count == 0) return stored;
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(letters->text(4, i), kHarnessTopic);
      std::string bytes;
      std::string hex(letters->text(3, i));
      for (size_t at = 0; at + 1 < hex.size(); at += 2) {
        bytes += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
      }
      stored.dead_letters.push_back(
          {{Partition(static_cast<int32_t>(letters->integer(0, i))), Offset(letters->integer(1, i))},
           std::string(letters->text(2, i)),
           bytes});
    }
  }
}

struct DuckStore {
  explicit DuckStore(const std::string& name) : scratch(name) {
    options.pipeline = "pipe";
    options.table.table = "events";
    options.table.stored_at = "storedAt";
    sut.clear = [this]() -> Status {
      database.reset();
      scratch.clear();
      return {};
    };
    sut.open = [this] { return open(); };
    sut.read = [this]() -> Result<StoredContents> {
      database.reset();
      TM_TRY(open_database());
      auto stored = read_store(*database, options.table.table);
      database.reset();
      return stored;
    };
    sut.read_live = [this] { return read_store(*database, options.table.table); };
    sut.steps = kSteps;
  }
  Status open_database() {
    DuckDbStoreOptions store;
    store.path = scratch.path("store.duckdb");
    store.memory_limit_bytes = 256 << 20;
    TM_ASSIGN(database, open_duckdb_store(store));
    return {};
  }
  Result<std::unique_ptr<Sink>> open() {
    database.reset();
    TM_TRY(open_database());
    return std::unique_ptr<Sink>(std::make_unique<DuckDbSink>(database, Clock::system(), options));
  }
  // Opens and prepares; the error's message, or "".
  std::string prepare_error(const Schema& schema = harness_schema()) {
    Status status = open().value()->prepare(schema);
    return status.ok() ? "" : status.error().message;
  }

  Scratch scratch;
  std::shared_ptr<duck::Database> database;
  DuckDbSinkOptions options;
  SinkUnderTest sut;
};

TEST(DuckDbSink, PassesTheHarness) {
  DuckStore store("duckdb-sink");
  store.sut.max_records = 140'000;  // more than a row group
  Status status = check_sink(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(DuckDbSink, PassesTheHarnessWithUpsert) {
  DuckStore store("duckdb-upsert");
  store.options.table.key = {"id"};
  store.sut.ordered = false;
  Status status = check_sink(store.sut, 2);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(DuckDbSink, PassesTheHarnessWithColumnsAndWithJson) {
  DuckStore store("duckdb-nested");
  for (Nested nested : {Nested::kColumns, Nested::kJson}) {
    store.options.table.nested = nested;
    store.options.table.table = nested == Nested::kJson ? "a \"quoted\"; -- table.name" : "events";
    Status status = check_sink(store.sut, 3);
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
}

TEST(DuckDbSink, StoresAllOrNothingWhereverItIsKilled) {
  DuckStore store("duckdb-kills");
  Status status = check_kills(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

// One epoch of partition 1, and a connection to look at it.
struct Filled {
  explicit Filled(DuckStore& store, size_t records = 3000) {
    sink = store.open().value();
    Status prepared = sink->prepare(harness_schema());
    EXPECT_TRUE(prepared.ok()) << prepared.error().message;
    session.emplace(SinkSession::open(*sink, 0).value());
    EXPECT_TRUE(session->acquire({1}, model).ok());
    epoch = session->fill({1}, records, model).value();
    Status committed = session->commit(epoch);
    EXPECT_TRUE(committed.ok()) << committed.error().message;
    connection = store.database->connect().value();
  }
  StoreModel model;
  std::unique_ptr<Sink> sink;
  std::optional<SinkSession> session;
  FilledEpoch epoch;
  std::unique_ptr<duck::Connection> connection;
};

TEST(DuckDbSink, AFullRowGroupIsWrittenFromTheLogIntoTheFile) {
  constexpr uint64_t kRowGroup = 122'880;
  constexpr uintmax_t kMuch = 1 << 20;
  DuckStore store("duckdb-groups");
  Filled filled(store, 30'000);
  filled.model.apply(filled.epoch);
  auto rows = [&] { return std::stoull(query(*filled.connection, "SELECT count(*) FROM events")[0][0]); };
  auto log_bytes = [&] {
    std::error_code none;
    const uintmax_t bytes = std::filesystem::file_size(store.scratch.path("store.duckdb.wal"), none);
    return none ? 0 : bytes;
  };
  while (rows() < kRowGroup) {
    EXPECT_GT(log_bytes(), kMuch) << rows();
    FilledEpoch epoch = filled.session->fill({1}, 30'000, filled.model).value();
    ASSERT_TRUE(filled.session->commit_to(epoch, &filled.model).ok());
  }
  EXPECT_LT(log_bytes(), kMuch) << rows();
}

TEST(DuckDbSink, AKillWhileTheFileIsMadeLeavesNothingThatCannotBeOpened) {
  DuckStore store("duckdb-new-file");
  std::filesystem::create_directories(store.scratch.path("store.duckdb.tmp"));
  std::ofstream(store.scratch.path("store.duckdb.tmp/new")) << "half a header";
  EXPECT_EQ(store.prepare_error(), "");
  EXPECT_TRUE(std::filesystem::exists(store.scratch.path("store.duckdb")));
  EXPECT_FALSE(std::filesystem::exists(store.scratch.path("store.duckdb.tmp")));
}

TEST(DuckDbSink, StoresEveryTypeUnchanged) {
  for (Nested nested : {Nested::kStruct, Nested::kColumns, Nested::kJson}) {
    DuckStore store("duckdb-types");
    store.options.table.nested = nested;
    Filled filled(store);
    // DuckDB reads the events' JSON by its own means and compares.
    std::string original = "CREATE TABLE original (event JSON, processed BIGINT)";
    ASSERT_TRUE(filled.connection->execute(original).ok());
    for (size_t i = 0; i < filled.epoch.rows.size(); i += 7) {
      HarnessId id = filled.epoch.rows[i];
      ASSERT_TRUE(filled.connection
                      ->execute("INSERT INTO original VALUES (?, ?)",
                                {Value::of(harness_json(id.partition, id.offset)),
                                 Value::of(harness_processed_at(id.offset))})
                      .ok());
    }
    std::string a = nested == Nested::kStruct    ? "nested.a"
                    : nested == Nested::kColumns ? "nested_a"
                                                 : "(nested->'$.a')::DOUBLE";
    std::string b = nested == Nested::kStruct    ? "nested.deep.b"
                    : nested == Nested::kColumns ? "nested_deep_b"
                                                 : "(nested->'$.deep.b')::BIGINT";
    auto differing = query(
        *filled.connection,
        fmt::format(
            "SELECT e.*, o.event FROM original o JOIN events e ON e.id = (o.event->>'$.id') WHERE NOT ("
            "n = (o.event->>'$.n')::BIGINT AND small IS NOT DISTINCT FROM (o.event->>'$.small')::INTEGER "
            "AND ratio IS NOT DISTINCT FROM (o.event->>'$.ratio')::DOUBLE "
            "AND flag IS NOT DISTINCT FROM (o.event->>'$.flag')::BOOLEAN "
            "AND \"at\" = (o.event->>'$.at')::TIMESTAMPTZ AT TIME ZONE 'UTC' "
            "AND \"any\"::VARCHAR IS NOT DISTINCT FROM (o.event->'$.any')::VARCHAR "
            "AND {} = (o.event->>'$.nested.a')::DOUBLE "
            "AND {} IS NOT DISTINCT FROM (o.event->>'$.nested.deep.b')::BIGINT "
            "AND \"processedAt\" = make_timestamp(o.processed)) LIMIT 1",
            a, b));
    EXPECT_TRUE(differing.empty()) << ::testing::PrintToString(differing);
    auto matched = query(*filled.connection,
                         "SELECT count(*) FROM original o JOIN events e ON e.id = (o.event->>'$.id')");
    EXPECT_EQ(matched[0][0], std::to_string((filled.epoch.rows.size() + 6) / 7));
    // Texts with NUL in them, which DuckDB's JSON functions cut: by their lengths.
    auto texts = query(
        *filled.connection,
        "SELECT strlen(\"text\"), count(*) FROM events WHERE strlen(\"text\") > 300 OR \"text\" = 'nul' "
        "GROUP BY ALL");
    ASSERT_EQ(texts.size(), 1u);
    EXPECT_EQ(texts[0][0], "323");
    auto recent = query(*filled.connection,
                        "SELECT count(*) FROM events WHERE \"storedAt\" < now()::TIMESTAMP - INTERVAL 1 HOUR "
                        "OR \"storedAt\" IS NULL");
    EXPECT_EQ(recent[0][0], "0");
  }
}

TEST(DuckDbSink, UpsertKeepsTheLastOfEachKey) {
  DuckStore store("duckdb-last");
  store.options.table.key = {"small"};
  Schema schema = harness_schema();
  EXPECT_NE(store.prepare_error(schema).find("events may lack small"), std::string::npos);
  schema.fields[2].nullable = false;
  auto sink = store.open().value();
  ASSERT_TRUE(sink->prepare(schema).ok());
  StoreModel model;
  SinkSession session = SinkSession::open(*sink, 0).value();
  ASSERT_TRUE(session.acquire({0}, model).ok());
  // Values of `small` are NULL at every third offset, which a key cannot be: leave these out.
  int64_t next = 1;
  for (int round = 0; round < 3; ++round) {
    FilledEpoch epoch;
    epoch.output = session.writer().begin().value();
    BatchPtr batch = harness_batch(harness_partition(0), Offset(next), 2500, sink->needs(), true);
    std::erase_if(batch->selected, [&](uint32_t row) { return (next + row) % 3 == 0; });
    ASSERT_TRUE(epoch.output->write(batch).ok());
    next += 2500;
    FilledEpoch request = session.fill({0}, 0, model).value();
    epoch.request = request.request;
    epoch.request.partitions[0].next.offset = Offset(next);
    ASSERT_TRUE(session.commit_to(epoch, &model).ok());
  }
  auto connection = store.database->connect().value();
  auto rows = query(*connection, "SELECT count(*), count(DISTINCT small), min(n) FROM events");
  EXPECT_EQ(rows[0][0], rows[0][1]);
  int64_t last = next - 1;
  while (last % 3 == 0 || harness_fate(Offset(last)) != Fate::kStored) --last;
  EXPECT_EQ(rows[0][2], std::to_string(INT64_MAX - last));
}

TEST(DuckDbSink, TasksCommitSideBySide) {
  DuckStore store("duckdb-tasks");
  auto sink = store.open().value();
  ASSERT_TRUE(sink->prepare(harness_schema()).ok());
  StoreModel models[3];
  std::vector<std::thread> tasks;
  for (int task = 0; task < 3; ++task) {
    tasks.emplace_back([&, task] {
      auto run = [&]() -> Status {
        TM_ASSIGN(SinkSession session, SinkSession::open(*sink, task));
        TM_TRY(session.acquire({task}, models[task]));
        for (size_t i = 0; i < 12; ++i) {
          TM_ASSIGN(FilledEpoch epoch, session.fill({task}, 200 + 300 * i, models[task]));
          TM_TRY(session.commit(epoch));
          models[task].apply(epoch);
        }
        return {};
      };
      Status status = run();
      EXPECT_TRUE(status.ok()) << status.error().message;
    });
  }
  for (std::thread& task : tasks) task.join();
  StoredContents stored = read_store(*store.database, "events").value();
  StoredContents of_task[3];
  for (const HarnessId& id : stored.rows) of_task[id.partition.value()].rows.push_back(id);
  for (const StoredDeadLetter& letter : stored.dead_letters) {
    of_task[letter.id.partition.value()].dead_letters.push_back(letter);
  }
  for (int task = 0; task < 3; ++task) {
    Status same = models[task].compare(of_task[task], true, false);
    EXPECT_TRUE(same.ok()) << same.error().message;
  }
}

TEST(DuckDbSink, ChecksAnExistingTable) {
  DuckStore store("duckdb-check");
  EXPECT_EQ(store.prepare_error(), "");
  EXPECT_EQ(store.prepare_error(), "");
  Schema other = harness_schema();
  other.fields[1].type = Type::kDouble;
  EXPECT_NE(store.prepare_error(other).find("column 2 is n BIGINT, the events have n DOUBLE"),
            std::string::npos)
      << store.prepare_error(other);
  other = harness_schema();
  other.fields.pop_back();
  EXPECT_NE(store.prepare_error(other).find("the events have storedAt TIMESTAMP"), std::string::npos)
      << store.prepare_error(other);
  other = harness_schema();
  other.fields[8].name = "nested.other";
  other.fields[8].path = {"nested", "other"};
  EXPECT_NE(store.prepare_error(other).find("STRUCT"), std::string::npos) << store.prepare_error(other);
  store.options.table.key = {"id"};
  EXPECT_NE(store.prepare_error().find("no primary key"), std::string::npos) << store.prepare_error();
}

TEST(DuckDbSink, RefusesWhatCannotWork) {
  DuckStore store("duckdb-refuses");
  store.options.table.key = {"nested.a"};
  EXPECT_NE(store.prepare_error().find("nested.a is not a column of its own"), std::string::npos);
  store.options.table.key.clear();
  Schema twice = harness_schema();
  twice.fields.push_back({"ID", {"ID"}, Type::kVarchar, true});
  EXPECT_NE(store.prepare_error(twice).find("columns id and ID are the same"), std::string::npos);
  store.options.table.stored_at = "Text";
  EXPECT_NE(store.prepare_error().find("columns text and Text"), std::string::npos);
  store.options.table.stored_at.clear();
  store.options.dead_table = "events";
  EXPECT_NE(store.prepare_error().find("dead_letters.name"), std::string::npos);
  store.options.dead_table.clear();
  store.options.table.table = "tidemill_positions";
  EXPECT_NE(store.prepare_error().find("tidemill_positions"), std::string::npos);
}

TEST(DuckDbSink, TakesHostileNames) {
  DuckStore store("duckdb-hostile");
  store.options.table.table = "select \"*\" from 'x'; DROP TABLE y --";
  store.options.pipeline = "o'clock \"";
  Schema schema = harness_schema();
  for (const char* name : {"group", "a\"b", "c'd", "e f", "Straße", "partition", "offset", "1st", "*"}) {
    schema.fields.push_back({name, {name}, Type::kVarchar, true});
    schema.fields.push_back({std::string("s.") + name, {"s", name}, Type::kDouble, true});
  }
  EXPECT_EQ(store.prepare_error(schema), "");
  EXPECT_EQ(store.prepare_error(schema), "");
}

TEST(DuckDbDdl, IsWhatPrepareMakes) {
  const Schema schema = telemetry_schema(3, 0);
  DuckDbSinkOptions options;
  options.pipeline = "pipe";
  options.table.table = "raw data";
  options.table.stored_at = "storedAt";
  options.table.key = {"eventId"};
  std::vector<std::vector<std::string>> made[2];
  for (const bool by_hand : {false, true}) {
    auto database = duck::Database::open(":memory:").value();
    DuckDbSink sink(database, Clock::system(), options);
    auto connection = database->connect().value();
    if (by_hand) {
      const std::vector<pipeline::Ddl> statements = sink.ddl(schema).value();
      for (const pipeline::Ddl& one : statements) ASSERT_TRUE(connection->execute(one.sql).ok()) << one.sql;
    }
    ASSERT_TRUE(sink.prepare(schema).ok());
    made[by_hand ? 1 : 0] = query(*connection, "SELECT table_name, sql FROM duckdb_tables() ORDER BY ALL");
  }
  EXPECT_EQ(made[0].size(), 3u);
  EXPECT_EQ(made[0], made[1]);
}

TEST(SparkTable, HasTheSameColumnsInSparksTypes) {
  Schema schema;
  schema.fields = {{"id", {"id"}, Type::kVarchar, false},
                   {"n", {"n"}, Type::kInteger, true},
                   {"a.b", {"a", "b"}, Type::kDouble, true},
                   {"a.c", {"a", "c"}, Type::kJson, true},
                   {"at", {"at"}, Type::kTimestamp, true}};
  TableOptions options;
  options.table = "t`s";
  EXPECT_EQ(
      create_spark_table_sql(make_table_layout(schema, options).value()),
      "CREATE TABLE `t``s` (\n  `id` STRING NOT NULL,\n  `n` INT,\n  `a` STRUCT<`b`: DOUBLE, `c`: STRING>,\n"
      "  `at` TIMESTAMP\n)");
}

}  // namespace
}  // namespace tidemill::serve
